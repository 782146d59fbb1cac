//! `verbatim jobs`, `result`, `cancel`, `retry` and `delete`.

use serde_json::{Value, json};
use verbatim::jobs::JobId;

use super::stand_in::{Inner, job};
use super::{Fixture, text};

/// A server with five jobs.
pub(super) fn with_jobs() -> (Inner, Vec<String>) {
    let ids: Vec<String> = (0..5).map(|_| JobId::new().to_string()).collect();
    let states = ["completed", "failed", "processing", "pending", "completed"];
    let jobs = ids.iter().zip(states).enumerate().map(|(number, (id, status))| {
        job(id, &format!("talk {number}.mp3"), json!({"status": status, "progress_percentage": number * 10}))
    });
    (Inner { jobs: jobs.collect(), ..Inner::default() }, ids)
}

#[tokio::test]
async fn jobs_are_listed_page_by_page_as_a_table_or_as_json() {
    let (inner, ids) = with_jobs();
    let fixture = Fixture::new(Inner { busy: [503].into(), ..inner }).await;
    let run = fixture.run("jobs").await;
    assert!(text(&run.stderr).contains("it is tried again"), "{}", text(&run.stderr));
    let lines: Vec<_> = text(&run.stdout).lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[0].starts_with("id ") && lines[0].ends_with("name"), "{}", lines[0]);
    let newest = format!("{}  completed       40 %  2026-11-23T15:00:00.000Z  talk 4.mp3", ids[4]);
    assert_eq!(lines[1], newest);
    assert!(lines[5].starts_with(&ids[0]), "{}", lines[5]);

    let three = fixture.prints("jobs --json --limit 3").await;
    let jobs: Vec<Value> = three.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(jobs.iter().map(|job| &job["job_id"]).collect::<Vec<_>>(), [&ids[4], &ids[3], &ids[2]]);
    assert_eq!(fixture.prints("jobs --status completed --json").await.lines().count(), 2);
    let found = fixture.prints("jobs --search 3.mp3").await;
    assert!(found.lines().nth(1).unwrap().starts_with(&ids[3]) && found.lines().count() == 2, "{found}");
    assert!(fixture.fails("jobs --status done", 2).await.contains("“done” is not one of pending"));
}

#[tokio::test]
async fn jobs_are_cancelled_retried_and_deleted_by_their_ids() {
    let (inner, ids) = with_jobs();
    let fixture = Fixture::new(inner).await;
    let status = |index: usize| fixture.running.get().jobs[index]["status"].as_str().unwrap().to_owned();
    assert_eq!(
        fixture.prints(&format!("cancel {} {}", ids[2], ids[3])).await,
        format!("{}\n{}\n", ids[2], ids[3])
    );
    assert_eq!((status(2).as_str(), status(3).as_str()), ("cancelled", "cancelled"));
    assert_eq!(fixture.prints(&format!("retry {}", ids[1])).await, format!("{}\n", ids[1]));
    assert_eq!(status(1), "pending");
    let nobody = JobId::new();
    let run = fixture.run(&format!("delete {nobody} {}", ids[4])).await;
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(1), &*format!("{}\n", ids[4])));
    let server = fixture.running.url();
    let why = format!("verbatim: {nobody}: {server} refuses (404): There is no job {nobody}.\n");
    assert_eq!(text(&run.stderr), why);
    assert_eq!(fixture.running.get().jobs.len(), 4);
    let completed = fixture.fails(&format!("cancel {}", ids[0]), 1).await;
    assert!(completed.contains("(409): The job has completed."), "{completed}");
    let odd = fixture.fails("delete all", 2).await;
    assert!(odd.contains("“all” is not the id of a job"), "{odd}");
}

#[tokio::test]
async fn what_an_older_server_cannot_do_is_said() {
    let (inner, ids) = with_jobs();
    let fixture = Fixture::new(Inner { is_old: true, ..inner }).await;
    let server = fixture.running.url();
    for (words, what) in [
        ("jobs".to_owned(), "list its jobs"),
        (format!("cancel {}", ids[0]), "cancel jobs"),
        (format!("retry {}", ids[0]), "retry jobs"),
        (format!("delete {}", ids[0]), "delete jobs"),
    ] {
        let told = fixture.fails(&words, 1).await;
        assert!(told.contains(&format!("{server} cannot {what}: its version is older")), "{told}");
    }
}

#[tokio::test]
async fn the_result_of_a_job_is_written_in_any_format_once_there_is_one() {
    let (inner, ids) = with_jobs();
    let fixture = Fixture::new(inner).await;
    fixture.running.get().jobs[0]["filename"] = json!("../../etc/talk 0.mp3");
    assert_eq!(
        fixture.prints(&format!("result {} --format vtt", ids[0])).await,
        "../../etc/talk 0.mp3 as vtt\n"
    );
    assert_eq!(fixture.prints(&format!("result {} --output out/", ids[0])).await, "");
    assert!(fixture.path("out/talk 0.txt").exists(), "the name of the recording, without folders");
    fixture.prints(&format!("result {} --output here.srt --format srt", ids[0])).await;
    assert!(fixture.path("here.srt").exists());
    let several = fixture.fails(&format!("result {} --format srt,txt", ids[0]), 2).await;
    assert!(several.contains("--output"), "{several}");

    let unfinished = fixture.fails(&format!("result {}", ids[2]), 1).await;
    assert!(unfinished.contains("is processing (20 %); --wait"), "{unfinished}");
    let failed = fixture.fails(&format!("result {}", ids[1]), 1).await;
    assert!(failed.contains(&format!("the job {} failed: ", ids[1])), "{failed}");
    let nobody = fixture.fails(&format!("result {}", JobId::new()), 1).await;
    assert!(nobody.contains("There is no job"), "{nobody}");
    fixture.running.get().states = [json!({"status": "processing"}), json!({"status": "completed"})].into();
    let waited = fixture.prints(&format!("result {} --wait", ids[2])).await;
    assert_eq!(waited, "talk 2.mp3 as txt\n");
}
