//! How long the pipeline takes: reads `{"warm_up": TEXT, "texts": [TEXT …]}` and says, as JSON, how long loading took, how
//! much memory it holds, and how long the texts took, in seconds of processor time.
//!
//!     cargo bench -p verbatim-spacy --bench speed -- models/en_core_web_sm < texts.json
//!
//! `bench/english.py` measures spaCy itself the same way.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::{env, fs, io};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Given {
    warm_up: String,
    texts: Vec<String>,
}

#[derive(Serialize)]
struct Measured {
    load_seconds: f64,
    /// How much more of the process is in memory once the pipeline is loaded.
    load_megabytes: f64,
    tokens: usize,
    seconds: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.ok_or("say which folder the pipeline is in")?;
    let given: Given = serde_json::from_reader(io::stdin())?;
    let (resident, began) = (resident_megabytes()?, processor_seconds());
    let pipeline = verbatim_spacy::load(Path::new(&folder))?;
    let load_seconds = processor_seconds() - began;
    let load_megabytes = resident_megabytes()? - resident;
    black_box(pipeline.analyze(&given.warm_up));
    let began = processor_seconds();
    let tokens = given.texts.iter().map(|text| pipeline.analyze(text).tokens().len()).sum();
    let measured = Measured { load_seconds, load_megabytes, tokens, seconds: processor_seconds() - began };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Of this process, which has one thread.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_megabytes() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}
