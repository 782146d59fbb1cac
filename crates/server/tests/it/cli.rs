//! The command line: the binary as people call it.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io::{PipeWriter, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use axum::Router;
use axum::extract::Path as PathParameter;
use axum::routing::get;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::speech::models_dir;
use crate::support::app::{Client, eventually, json};
use crate::support::{clips, form};

/// Runs `verbatim` in a folder, with nothing in its environment but where things are.
fn verbatim(dir: &Path, arguments: &[&OsStr]) -> Output {
    command(dir, arguments).output().unwrap()
}

fn command(dir: &Path, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verbatim"));
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("MODELS_DIR", models_dir())
        .env("WHISPER_MODEL", "tiny.en");
    command
}

fn arguments<'a>(words: &'a str, files: &[&'a Path]) -> Vec<&'a OsStr> {
    words.split(' ').map(OsStr::new).chain(files.iter().map(|file| file.as_os_str())).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_version_tells_on_request_what_computes_and_what_confines() {
    let dir = TempDir::new().unwrap();
    let run = verbatim(dir.path(), &arguments("--version", &[]));
    assert!(run.status.success());
    assert_eq!(text(&run.stdout), concat!("verbatim ", env!("CARGO_PKG_VERSION"), "\n"));
    let run = verbatim(dir.path(), &arguments("--version --verbose", &[]));
    for line in ["\nproducts in bytes: ", "\nattention in bfloat16: ", "\nsandbox: {\"files\":"] {
        assert!(text(&run.stdout).contains(line), "{}", text(&run.stdout));
    }
    for wrong in ["--verbose", "--log-level info"] {
        let run = verbatim(dir.path(), &arguments(wrong, &[]));
        assert_eq!(run.status.code(), Some(2), "{wrong}: {}", text(&run.stderr));
    }
}

#[test]
fn a_file_is_transcribed_to_the_terminal() {
    let (dir, novel) = (TempDir::new().unwrap(), clips::novel());
    let run = verbatim(dir.path(), &arguments("transcribe", &[&novel]));
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(text(&run.stdout).to_lowercase().contains("young man"), "{}", text(&run.stdout));
    assert_eq!(text(&run.stderr), "", "no bar where there is no terminal");

    let run = verbatim(dir.path(), &arguments("transcribe --format json --language English", &[&novel]));
    let result: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(result["filename"], novel.file_name().unwrap().to_str().unwrap());
    assert_eq!(result["language_detection"]["language"], "en");
    assert_eq!(result["models_used"]["whisper"], "tiny.en");
    assert_eq!(result["whisper_segments"][0]["id"], 0);
    assert!(result["whisper_segments"][0]["words"].as_array().unwrap().len() > 3, "{result}");

    let plain = arguments("transcribe --format json --no-word-timestamps --stages", &[&novel]);
    let run = verbatim(dir.path(), &plain);
    let plain: Value = serde_json::from_slice(&run.stdout).unwrap();
    for stage in
        ["decoding of the media", "encoder: attention", "decoder: logits", "structure", "everything else"]
    {
        assert!(text(&run.stderr).contains(&format!("\n| {stage}")), "{}", text(&run.stderr));
    }
    assert_eq!(plain["transcript"], result["transcript"]);
    assert!(plain["whisper_segments"][0].get("words").is_none(), "{plain}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is written beside");
}

#[test]
fn hotwords_are_heard_and_what_the_model_cannot_do_is_told() {
    let (dir, novel) = (TempDir::new().unwrap(), clips::dashwood());
    let heard = |flags| {
        let words = format!("transcribe --temperature 0{flags}");
        text(&verbatim(dir.path(), &arguments(&words, &[&novel])).stdout).to_owned()
    };
    let (plain, hot) = (heard(""), heard(" --hotwords Dashwoode"));
    assert!(plain.contains("Dashwood ") && hot.contains("Dashwoode "), "{plain}{hot}");
    let run = verbatim(dir.path(), &arguments("transcribe --task translate", &[&novel]));
    assert!(!run.status.success() && text(&run.stdout).is_empty());
    assert!(text(&run.stderr).contains("only knows English; it cannot translate"), "{}", text(&run.stderr));
}

#[test]
fn a_model_is_found_by_the_path_of_its_file_or_folder() {
    let dir = TempDir::new().unwrap();
    let novel = clips::novel();
    for (path, name) in
        [(models_dir().join("ggml-tiny.en.bin"), "ggml-tiny.en"), (models_dir().join("tiny.en"), "tiny.en")]
    {
        let mut words = arguments("transcribe --format json --whisper-model", &[&path]);
        words.push(novel.as_os_str());
        let run = verbatim(dir.path(), &words);
        assert!(run.status.success(), "{}", text(&run.stderr));
        let result: Value = serde_json::from_slice(&run.stdout).unwrap();
        assert!(result["transcript"].as_str().unwrap().to_lowercase().contains("young man"), "{result}");
        assert_eq!(result["models_used"]["whisper"], name);
    }
    let nowhere = dir.path().join("ggml-nothing.bin");
    let mut words = arguments("transcribe --whisper-model", &[&nowhere]);
    words.push(novel.as_os_str());
    let refused = verbatim(dir.path(), &words);
    let sentence = format!("there is no model at {}", nowhere.display());
    assert!(text(&refused.stderr).contains(&sentence), "{}", text(&refused.stderr));
}

#[test]
fn a_stored_result_is_structured_again_without_its_sound() {
    let (dir, novel) = (TempDir::new().unwrap(), clips::novel());
    let run = verbatim(dir.path(), &arguments("transcribe --format json", &[&novel]));
    let result: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(result["models_used"]["topics"], "all-MiniLM-L6-v2");
    let (stored, german) = (dir.path().join("result.json"), dir.path().join("deutsch.txt"));
    fs::write(&stored, &run.stdout).unwrap();
    fs::write(&german, "Das Boot ist alt. Der Fluss ist\nhoch. Wir fahren trotzdem.").unwrap();

    let run = verbatim(dir.path(), &arguments("structure", &[&stored]));
    assert!(run.status.success(), "{}", text(&run.stderr));
    let again: Value = serde_json::from_slice(&run.stdout).unwrap();
    for field in ["topics", "sentences", "entities", "keywords", "structure_error"] {
        assert_eq!(again[field], result[field]);
    }
    assert_eq!(again["models_used"]["spacy"], "en_core_web_sm");

    let run = verbatim(dir.path(), &arguments("structure --language de", &[&german, &stored]));
    let lines: Vec<Value> =
        text(&run.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let sentences = serde_json::json!(["Das Boot ist alt.", "Der Fluss ist hoch.", "Wir fahren trotzdem."]);
    assert_eq!(lines[0]["topics"][0]["sentences"], sentences);
    assert_eq!(lines[0]["models_used"]["topics"], "lexical");

    let run =
        verbatim(dir.path(), &arguments("structure --enable-topics false --spacy-model none", &[&stored]));
    let without: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(
        (&without["entities"], &without["models_used"]["spacy"]),
        (&serde_json::json!([]), &Value::Null)
    );
    assert_eq!(without["structure_error"], Value::Null);
    assert_eq!(
        (&without["topics"], &without["models_used"]["topics"]),
        (&serde_json::json!([]), &Value::Null)
    );

    let broken = dir.path().join("broken.json");
    fs::write(&broken, "{\"topics\": 3}").unwrap();
    let refused = verbatim(dir.path(), &arguments("structure", &[&broken]));
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("broken.json is no result of a job"), "{}", text(&refused.stderr));
}

#[test]
fn a_pipeline_that_is_missing_or_damaged_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let (text_file, folder) = (dir.path().join("a.txt"), dir.path().join("models/broken"));
    fs::write(&text_file, "It rained.").unwrap();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tokenizer"), "no msgpack").unwrap();
    let refused = |name: &str| {
        let words = format!("structure --language en --models-dir models --spacy-model {name}");
        let run = verbatim(dir.path(), &arguments(&words, &[&text_file]));
        assert!(!run.status.success() && run.stdout.is_empty());
        text(&run.stderr).to_owned()
    };
    let missing = refused("en_core_web_xl");
    assert!(missing.contains("no spaCy pipeline in models/en_core_web_xl; SPACY_MODEL"), "{missing}");
    assert!(refused("broken").contains("models/broken/tokenizer is damaged"), "{}", refused("broken"));
    let words = "structure --language en --models-dir models";
    let run = verbatim(dir.path(), &arguments(words, &[&text_file]));
    let without: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(without["models_used"], serde_json::json!({"spacy": null, "topics": "lexical"}));
}

#[test]
fn several_files_and_formats_go_to_a_folder_and_a_bad_one_stops_none() {
    let dir = TempDir::new().unwrap();
    let (novel, video) = (clips::novel(), clips::video(dir.path()));
    let broken = dir.path().join("broken.mp3");
    fs::write(&broken, "This is no sound.").unwrap();
    let words = "transcribe --format srt,vtt,txt --threads 1 --output out";
    let run = verbatim(dir.path(), &arguments(words, &[&broken, &novel, &video]));
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("broken.mp3: "), "{}", text(&run.stderr));
    let mut written: Vec<_> = fs::read_dir(dir.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    written.sort();
    let stem = novel.file_stem().unwrap().to_str().unwrap();
    let mut expected: Vec<_> = ["srt", "txt", "vtt"]
        .iter()
        .flat_map(|ext| [format!("novel.{ext}"), format!("{stem}.{ext}")])
        .collect();
    expected.sort();
    assert_eq!(written, expected);
    let srt = fs::read_to_string(dir.path().join("out/novel.srt")).unwrap();
    assert!(srt.starts_with("1\n00:00:0") && srt.contains(" --> "), "{srt}");
}

#[test]
fn standard_input_is_transcribed_and_leaves_nothing() {
    let (dir, novel) = (TempDir::new().unwrap(), clips::novel());
    let temporary = TempDir::new().unwrap();
    let run = |words: &str, input: Stdio| {
        let mut command = command(dir.path(), &arguments(words, &[]));
        command.stdin(input).env("TMPDIR", temporary.path()).output().unwrap()
    };
    // The index of this container is at its end, where a pipe cannot go.
    let video = fs::read(clips::video(dir.path())).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let sending = std::thread::spawn(move || writer.write_all(&video));
    let piped = run("transcribe - --model tiny.en --format json --output out/", reader.into());
    assert!(piped.status.success(), "{}", text(&piped.stderr));
    sending.join().unwrap().unwrap();
    let result: Value =
        serde_json::from_slice(&fs::read(dir.path().join("out/stdin.json")).unwrap()).unwrap();
    assert!(result["transcript"].as_str().unwrap().to_lowercase().contains("young man"), "{result}");
    assert_eq!((&result["filename"], &result["source_type"]), (&"stdin".into(), &"video".into()));

    let empty = run("transcribe -", Stdio::null());
    assert_eq!(
        (empty.status.code(), text(&empty.stderr)),
        (Some(1), "verbatim: -: standard input is empty\n")
    );
    let large = run("transcribe - --max-file-size 10kB", fs::File::open(novel).unwrap().into());
    assert_eq!(large.status.code(), Some(1));
    assert!(text(&large.stderr).contains("more than 10 kB (--max-file-size"), "{}", text(&large.stderr));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn several_files_end_with_a_line_that_says_how_much_was_done_and_how_fast() {
    let (dir, novel) = (TempDir::new().unwrap(), clips::novel());
    let run = verbatim(dir.path(), &arguments("transcribe missing.mp3", &[&novel, &novel]));
    assert_eq!(run.status.code(), Some(1));
    let summary = text(&run.stderr).lines().last().unwrap();
    assert!(summary.starts_with("2 of 3 files: "), "{summary}");
    assert!(summary.contains(" s of audio in ") && summary.ends_with(" times real time"), "{summary}");
}

/// A hub that has the files of the model `tiny.en`, on an address of its own.
async fn hub() -> String {
    async fn file(
        PathParameter((_, _, _, name)): PathParameter<(String, String, String, String)>,
    ) -> Vec<u8> {
        fs::read(models_dir().join("tiny.en").join(name)).unwrap()
    }
    let router = Router::new().route("/{owner}/{repository}/resolve/{revision}/{name}", get(file));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_model_that_is_not_here_is_fetched_on_request_and_only_then() {
    let (dir, novel, hub) = (TempDir::new().unwrap(), clips::novel(), hub().await);
    let models = dir.path().join("models");
    fs::create_dir(&models).unwrap();
    fs::copy(models_dir().join("silero_vad_v6.onnx"), models.join("silero_vad_v6.onnx")).unwrap();
    let transcribe = async |flag: &str| {
        let mut command = command(dir.path(), &arguments(&format!("transcribe{flag}"), &[&novel]));
        command.env("MODELS_DIR", "models").env("HF_ENDPOINT", &hub);
        tokio::process::Command::from(command).output().await.unwrap()
    };
    let missing = transcribe("").await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("`verbatim models fetch tiny.en`"), "{}", text(&missing.stderr));
    // As a download leaves it that was interrupted.
    fs::create_dir(models.join("tiny.en")).unwrap();
    let part = &fs::read(models_dir().join("tiny.en/model.bin")).unwrap()[..1000];
    fs::write(models.join("tiny.en/model.bin.part"), part).unwrap();
    let fetched = transcribe(" --fetch").await;
    assert!(text(&fetched.stdout).to_lowercase().contains("young man"), "{}", text(&fetched.stderr));
    assert_eq!(text(&fetched.stderr), "tiny.en is in models/tiny.en\n");
    assert_eq!(text(&transcribe(" --fetch").await.stderr), "", "it is here now");

    fs::remove_file(models.join("silero_vad_v6.onnx")).unwrap();
    fs::remove_dir_all(models.join("tiny.en")).unwrap();
    let without = transcribe(" --fetch").await;
    assert!(text(&without.stderr).contains("silero-vad-v6 is not on the hub"), "{}", text(&without.stderr));
}

#[test]
fn shells_and_the_manual_know_every_command() {
    let dir = TempDir::new().unwrap();
    let commands = ["serve", "transcribe", "watch", "submit", "jobs", "result", "cancel", "retry", "delete"];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = verbatim(dir.path(), &arguments(&format!("completions {shell}"), &[]));
        assert!(run.status.success(), "{shell}: {}", text(&run.stderr));
        for command in commands {
            assert!(text(&run.stdout).contains(command), "{shell}: {command}");
        }
    }
    let unknown = verbatim(dir.path(), &arguments("completions tcsh", &[]));
    assert!(text(&unknown.stderr).contains("“tcsh” is not one of bash"), "{}", text(&unknown.stderr));

    assert!(verbatim(dir.path(), &arguments("man --output pages/man1", &[])).status.success());
    for command in commands {
        let page = fs::read_to_string(dir.path().join(format!("pages/man1/verbatim-{command}.1"))).unwrap();
        assert!(page.contains(&format!("verbatim\\-{command}")), "{page}");
    }
    let submit = fs::read_to_string(dir.path().join("pages/man1/verbatim-submit.1")).unwrap();
    assert!(submit.contains("VERBATIM_API_KEY") && submit.contains("Send files to a server"), "{submit}");
    assert!(dir.path().join("pages/man1/verbatim-models-fetch.1").exists());
    let page = fs::read(dir.path().join("pages/man1/verbatim.1")).unwrap();
    assert_eq!(verbatim(dir.path(), &arguments("man", &[])).stdout, page);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    let dir = TempDir::new().unwrap();
    for (words, says) in [
        ("transcribe --format srt,txt a.mp3", "--output"),
        ("transcribe --language klingon a.mp3", "“klingon”"),
        ("transcribe --format docx a.mp3", "“docx” is not one of json, txt, srt, vtt, tsv, chapters, md"),
        ("serve --port 99999", "PORT (--port): “99999” is not a port"),
        ("serve --max-file-size lots", "MAX_FILE_SIZE (--max-file-size): “lots” is not a size"),
        ("--log-level loud serve", "LOG_LEVEL (--log-level): “loud” is not one of"),
        ("models fetch base --hf-endpoint hub", "HF_ENDPOINT (--hf-endpoint): “hub” is not an address"),
    ] {
        let run = verbatim(dir.path(), &arguments(words, &[]));
        assert_eq!(run.status.code(), Some(2), "{words}");
        let sentence = text(&run.stderr);
        assert!(sentence.contains(says) && sentence.lines().count() == 1, "{words}: {sentence}");
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "{words}");
    }
}

#[test]
fn a_setting_of_the_environment_counts_and_a_flag_counts_more() {
    let dir = TempDir::new().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_verbatim"))
            .args(arguments)
            .current_dir(dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("WEBHOOK_TIMEOUT", "soon")
            .env("MODELS_DIR", "/nowhere")
            .env("PORT", "0")
            .output()
            .unwrap()
    };
    let by_environment = run(&["serve"]);
    assert_eq!(by_environment.status.code(), Some(2));
    assert!(text(&by_environment.stderr).contains("WEBHOOK_TIMEOUT"), "{}", text(&by_environment.stderr));
    let by_flag = run(&["serve", "--webhook-timeout", "5"]);
    assert_eq!(by_flag.status.code(), Some(1));
    let sentence = text(&by_flag.stderr);
    assert!(sentence.contains("verbatim models fetch base"), "{sentence}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "a service that cannot start leaves nothing");
}

#[test]
fn models_are_listed_and_checked() {
    let dir = TempDir::new().unwrap();
    let list = verbatim(dir.path(), &arguments("models list", &[]));
    let line = text(&list.stdout).lines().find(|line| line.starts_with("tiny.en ")).unwrap();
    assert!(line.contains("75.5 MB") && line.ends_with("present"), "{line}");
    assert!(verbatim(dir.path(), &arguments("models check tiny.en silero-vad-v6", &[])).status.success());
    let missing = verbatim(dir.path(), &arguments("models check tiny.en --models-dir .", &[]));
    assert_eq!((missing.status.code(), text(&missing.stdout).contains("missing")), (Some(1), true));
    let unknown = verbatim(dir.path(), &arguments("models fetch huge", &[]));
    assert!(text(&unknown.stderr).contains("no model “huge”"), "{}", text(&unknown.stderr));
}

#[test]
fn models_are_looked_for_here_and_then_in_the_users_data_folder() {
    let dir = TempDir::new().unwrap();
    let (text_file, novel) = (dir.path().join("a.txt"), clips::novel());
    fs::write(&text_file, "It rained.").unwrap();
    let run = |words: &str, files: &[&Path]| {
        Command::new(env!("CARGO_BIN_EXE_verbatim"))
            .args(arguments(words, files))
            .current_dir(dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", dir.path())
            .output()
            .unwrap()
    };
    let of_user = dir.path().join(".local/share/verbatim/models");
    let places = format!("in ./models, which is not there, and in {}", of_user.display());
    for (words, files) in [
        ("transcribe", &[&*novel][..]),
        ("structure --spacy-model en_core_web_sm", &[&*text_file]),
        ("serve --port 0", &[]),
    ] {
        let refused = run(words, files);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(&places), "{words}: {}", text(&refused.stderr));
    }
    let unreachable = "models fetch tiny.en --hf-endpoint http://127.0.0.1:1";
    assert!(text(&run(unreachable, &[]).stderr).contains("cannot reach"));
    assert!(of_user.is_dir(), "they are fetched into the data folder");

    fs::remove_dir_all(&of_user).unwrap();
    std::os::unix::fs::symlink(models_dir(), &of_user).unwrap();
    let found = run("transcribe --whisper-model tiny.en", &[&novel]);
    assert!(text(&found.stdout).to_lowercase().contains("young man"), "{}", text(&found.stderr));
    let found: Value = serde_json::from_slice(&run("structure --language en", &[&text_file]).stdout).unwrap();
    assert_eq!(found["models_used"]["spacy"], "en_core_web_sm");
    assert!(run("models check silero-vad-v6", &[]).status.success());

    fs::create_dir(dir.path().join("models")).unwrap();
    let refused = run("transcribe --whisper-model tiny.en", &[&novel]);
    assert!(text(&refused.stderr).contains("no model in ./models/tiny.en"), "{}", text(&refused.stderr));
}

/// A pipe whose reader has gone away, as `head` does.
fn closed_pipe() -> PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn output_that_nobody_reads_ends_a_command_quietly() {
    let (dir, novel) = (TempDir::new().unwrap(), clips::novel());
    let text_file = dir.path().join("a.txt");
    fs::write(&text_file, "It rained.").unwrap();
    for (words, files) in [
        ("models list", &[][..]),
        ("models check silero-vad-v6", &[]),
        ("transcribe", &[&*novel, &*novel]),
        ("structure --language en", &[&*text_file]),
    ] {
        let run = command(dir.path(), &arguments(words, files)).stdout(closed_pipe()).output().unwrap();
        assert_eq!((run.status.code(), text(&run.stderr)), (Some(141), ""), "{words}");
    }
    for words in ["transcribe missing.mp3", "structure missing.json", "serve --port 99999"] {
        let run = command(dir.path(), &arguments(words, &[])).stderr(closed_pipe()).status().unwrap();
        assert!(matches!(run.code(), Some(1 | 2)), "an error that nobody reads is no panic: {words}");
    }
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_goes_on() {
    let dir = TempDir::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let words = format!("serve --port {}", free.port());
    let mut serve = tokio::process::Command::from(command(dir.path(), &arguments(&words, &[])));
    let server = RefCell::new(serve.stderr(closed_pipe()).kill_on_drop(true).spawn().unwrap());
    let client = Client::new(free);
    eventually("the server to listen", || async {
        assert_eq!(server.borrow_mut().try_wait().unwrap(), None, "the server has ended");
        client.http.get(client.url("/health")).send().await.is_ok()
    })
    .await;
    let (_, job) = json(client.post("/process", form::file(&clips::novel())).await).await;
    let result = format!("/result/{}", job["job_id"].as_str().unwrap());
    eventually("the job's end", || async { client.get(&result).await.status() == 200 }).await;
    let mut server = server.into_inner();
    let pid = server.id().and_then(|id| Pid::from_raw(id.cast_signed())).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(server.wait().await.unwrap().success());
}

#[test]
fn without_a_command_there_is_help() {
    let dir = TempDir::new().unwrap();
    let run = verbatim(dir.path(), &[]);
    assert!(text(&run.stderr).contains("transcribe") && text(&run.stderr).contains("Usage"));
}
