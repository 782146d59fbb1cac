import asyncio
import aiohttp

async def transcribe_large_file():
    # Upload file
    async with aiohttp.ClientSession() as session:
        with open("large_video.mp4", "rb") as f:
            data = aiohttp.FormData()
            data.add_field("file", f, filename="large_video.mp4")
            
            async with session.post(
                "http://localhost:8000/process",
                data=data,
                params={
                    "language": "en",
                    "webhook_url": "https://myapp.com/webhook"
                }
            ) as response:
                upload_result = await response.json()
                job_id = upload_result["job_id"]
    
    # Poll for completion
    while True:
        async with session.get(f"http://localhost:8000/result/{job_id}") as response:
            if response.status == 200:
                result = await response.json()
                print("Transcription completed!")
                print(f"Transcript: {result['result']['transcript'][:100]}...")
                break
            elif response.status == 202:
                status_data = await response.json()
                print(f"Progress: {status_data.get('progress_percentage', 0)}%")
                await asyncio.sleep(10)
            else:
                print("Job failed or not found")
                break

# Run the example
asyncio.run(transcribe_large_file())
