//! Rules against spaCy's own answers on 7,000 sentences, and against text and files that nobody would write.
//! `scripts/fixtures/spacy_english.py` says where the texts come from and what each number is.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Deserialize;

use crate::doc::{Doc, Span};
use crate::networks::reference::pipeline;
use crate::words::{lexeme, strings};
use crate::{LoadError, Pipeline, load};

#[derive(Deserialize)]
struct Fixture {
    tags: Vec<String>,
    poses: Vec<String>,
    morphs: Vec<String>,
    deps: Vec<String>,
    lemmas: Vec<String>,
    labels: Vec<String>,
    documents: Vec<Document>,
}

#[derive(Deserialize)]
struct Document {
    file: String,
    number: usize,
    variant: String,
    text: Option<String>,
    hash: u64,
    lengths: Vec<usize>,
    spaces: String,
    features: u64,
    tags: Vec<usize>,
    poses: Vec<usize>,
    morphs: Vec<usize>,
    deps: Vec<usize>,
    heads: Vec<isize>,
    lemmas: Vec<isize>,
    sentences: Vec<usize>,
    entities: Vec<(usize, usize, usize)>,
    chunks: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
struct Clip {
    words: Vec<Vec<(String, f64, f64, f64)>>,
}

const FORTUNES: &str = "/usr/share/games/fortunes/";

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/english.json.gz");
    serde_json::from_slice(&unzipped(&file)).unwrap()
});

static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| load(&pipeline()).unwrap());

fn unzipped(file: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = std::fs::File::open(file)
        .unwrap_or_else(|error| panic!("{}: {error}; `make setup` installs its package", file.display()));
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The paragraphs or quotations of a file, or the transcripts of clips.
fn texts(file: &str) -> Vec<String> {
    if file == "align.json" {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../whisper/tests/fixtures/align.json");
        let clips: Vec<Clip> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        return clips
            .iter()
            .map(|clip| clip.words.iter().flatten().map(|word| word.0.as_str()).collect())
            .collect();
    }
    if file.starts_with(FORTUNES) {
        let text = std::fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("{file}: {error}; `make setup` installs its package"));
        return text.split("\n%\n").map(ToOwned::to_owned).collect();
    }
    let text = String::from_utf8(unzipped(Path::new(file))).unwrap();
    text.split("\n\n").filter(|text| !text.trim().is_empty()).map(ToOwned::to_owned).collect()
}

fn changed(text: &str, variant: &str) -> String {
    let line = || text.split_whitespace().collect::<Vec<_>>().join(" ");
    let bare = |text: String| text.replace(['.', ',', ';', ':', '!', '?', '"'], "");
    match variant {
        "plain" => text.to_owned(),
        "line" => line(),
        "lower" => line().to_ascii_lowercase(),
        "bare" => bare(line()),
        "spoken" => bare(line().to_ascii_lowercase()),
        other => panic!("the fixture has a variant `{other}`"),
    }
}

/// All documents of the fixture with their texts. One whose text is another here, as in another version of its
/// package, is left out; most must not be.
fn documents() -> Vec<(&'static Document, String)> {
    let mut files: HashMap<&str, Vec<String>> = HashMap::new();
    let documents = FIXTURE.documents.iter().map(|document| {
        let text = document.text.clone().unwrap_or_else(|| {
            let texts = files.entry(&document.file).or_insert_with(|| texts(&document.file));
            changed(texts.get(document.number).map_or("", String::as_str), &document.variant)
        });
        (document, text)
    });
    let all: Vec<_> = documents.collect();
    let count = all.len();
    let same: Vec<_> =
        all.into_iter().filter(|(document, text)| strings::hash(text) == document.hash).collect();
    assert!(same.len() * 10 >= count * 9, "of {count} texts only {} are those of the fixture", same.len());
    same
}

impl Document {
    fn name(&self) -> String {
        format!("{} {} ({})", self.file, self.number, self.variant)
    }

    /// The document as spaCy's networks left it, before the rules.
    fn tagged(&self, text: &str) -> Doc {
        let mut doc = PIPELINE.tokenizer.tokenize(text);
        for (index, token) in doc.tokens.iter_mut().enumerate() {
            token.tag = FIXTURE.tags[self.tags[index]].as_str().into();
            token.dep = FIXTURE.deps[self.deps[index]].as_str().into();
            token.head = index.strict_add_signed(self.heads[index]);
        }
        doc
    }

    fn lemma<'d>(&'d self, index: usize, text: &'d str) -> std::borrow::Cow<'d, str> {
        match self.lemmas[index] {
            -1 => text.into(),
            -2 => text.to_lowercase().into(),
            number => FIXTURE.lemmas[number.unsigned_abs()].as_str().into(),
        }
    }
}

#[test]
fn tokens_are_those_of_spacy() {
    let (mut tokens, mut different) = (0, Vec::new());
    for (document, text) in documents() {
        let doc = PIPELINE.tokenizer.tokenize(&text);
        let lengths: Vec<_> = doc.tokens.iter().map(|token| token.end - token.start).collect();
        let spaces: String = doc.tokens.iter().map(|token| if token.space { '1' } else { '0' }).collect();
        tokens += lengths.len();
        if (lengths, spaces) != (document.lengths.clone(), document.spaces.clone()) {
            different.push(document.name());
        }
    }
    assert!(different.is_empty(), "{} documents: {different:?}", different.len());
    assert!(tokens > 100_000, "only {tokens} tokens");
}

#[test]
fn features_are_those_of_spacy() {
    for (document, text) in documents() {
        let doc = PIPELINE.tokenizer.tokenize(&text);
        let lexemes = PIPELINE.lexicon.lexemes(&doc);
        let values = lexemes.iter().zip(&doc.tokens).flat_map(|(lexeme, token)| {
            let flags = [token.space.into(), lexeme.is_space.into()];
            [lexeme.norm, lexeme.prefix, lexeme.suffix, lexeme.shape, flags[0], flags[1]]
        });
        let folded = values.fold(0u64, |folded, value| folded.wrapping_mul(31).wrapping_add(value));
        assert_eq!(folded, document.features, "{}", document.name());
    }
}

#[test]
fn rules_say_what_those_of_spacy_do() {
    let (mut tokens, mut different) = (0, Vec::new());
    for (document, text) in documents() {
        let mut doc = document.tagged(&text);
        PIPELINE.finish(&mut doc);
        for (index, token) in doc.tokens.iter().enumerate() {
            let word = doc.token_text(index);
            let ours = [&*token.pos, &*token.morph, &*token.lemma];
            let (pos, morph) =
                (&FIXTURE.poses[document.poses[index]], &FIXTURE.morphs[document.morphs[index]]);
            let lemma = document.lemma(index, word);
            if ours != [pos.as_str(), morph.as_str(), &*lemma] {
                different.push(format!(
                    "{} {word:?}: {ours:?} for {:?}",
                    document.name(),
                    (pos, morph, lemma)
                ));
            }
            tokens += 1;
        }
        let chunks: Vec<_> = doc.noun_chunks.iter().map(|chunk| (chunk.start, chunk.end)).collect();
        assert_eq!(chunks, document.chunks, "{}", document.name());
    }
    assert!(
        different.is_empty(),
        "{} of {tokens}: {:#?}",
        different.len(),
        different.iter().take(20).collect::<Vec<_>>()
    );
}

#[test]
fn the_whole_pipeline_says_what_spacy_does() {
    let mut tokens = 0;
    let mut same: HashMap<&str, usize> = HashMap::new();
    let (mut entities, mut theirs, mut both) = (0, 0, 0);
    let mut different = Vec::new();
    for (document, text) in documents() {
        let doc = PIPELINE.analyze(&text);
        tokens += doc.tokens.len();
        for (index, token) in doc.tokens.iter().enumerate() {
            let starts = document.sentences.binary_search(&index).is_ok();
            let lemma = document.lemma(index, doc.token_text(index));
            let answers = [
                ("sentence start", token.sentence_start == starts),
                ("tag", *token.tag == *FIXTURE.tags[document.tags[index]]),
                ("part of speech", *token.pos == *FIXTURE.poses[document.poses[index]]),
                ("features", *token.morph == *FIXTURE.morphs[document.morphs[index]]),
                ("dependency", *token.dep == *FIXTURE.deps[document.deps[index]]),
                ("head", token.head == index.strict_add_signed(document.heads[index])),
                ("lemma", *token.lemma == *lemma),
            ];
            for (what, is_same) in answers {
                *same.entry(what).or_default() += usize::from(is_same);
                if !is_same {
                    different.push(format!("{}, token {index}: {what}", document.name()));
                }
            }
        }
        entities += doc.entities.len();
        theirs += document.entities.len();
        let is_theirs = |entity: &&Span| {
            let at = |(start, end, label): &(usize, usize, usize)| {
                (*start, *end) == (entity.start, entity.end) && *FIXTURE.labels[*label] == *entity.label
            };
            document.entities.iter().any(at)
        };
        both += doc.entities.iter().filter(is_theirs).count();
    }
    let f1 = 2.0 * both as f64 / (entities + theirs) as f64;
    println!("of {tokens} tokens the same: {same:?}; entities F1 {f1:.5} of {theirs}; {different:#?}");
    for (what, same) in same {
        assert!(same * 1000 >= tokens * 999, "{what}: {same} of {tokens}");
    }
    assert!(f1 >= 0.995, "entities: F1 {f1}");
}

/// Every byte of the text belongs to one token, or is the blank behind one.
fn assert_whole(doc: &Doc) {
    let mut at = 0;
    for token in &doc.tokens {
        assert!(token.start == at && token.end > token.start, "{:?}", doc.text);
        assert!(doc.text.is_char_boundary(token.end), "{:?}", doc.text);
        at = token.end;
        if token.space {
            assert_eq!(doc.text.as_bytes()[at], b' ');
            at += 1;
        }
    }
    assert_eq!(at, doc.text.len(), "{:?}", doc.text);
}

proptest! {
    #[test]
    fn any_text_is_kept_whole(text in any::<String>()) {
        assert_whole(&PIPELINE.analyze(&text));
    }

    #[test]
    fn any_marks_are_kept_whole(text in r"([a-zA-Z0-9'’.,:/@$%()\[\]\-–—… \t\n]|can't|he's|U\.S\.|http://|é|°C|😀){0,60}") {
        let doc = PIPELINE.analyze(&text);
        assert_whole(&doc);
        for (index, token) in doc.tokens.iter().enumerate() {
            let word = doc.token_text(index);
            prop_assert!(lexeme::is_space(word) || !word.contains(char::is_whitespace), "{word:?}");
            prop_assert_eq!(&*token.pos == "SPACE", lexeme::is_space(word));
        }
    }
}

#[test]
fn text_without_spaces_takes_no_time() {
    for one in ["!", "a.", "(", "'s", "-", "https://", "\u{a0}\u{2003}", "1,"] {
        assert_whole(&PIPELINE.analyze(&one.repeat(20_000)));
        assert_whole(&PIPELINE.analyze(&one.repeat(2_000)));
    }
}

/// The files that rules are read from.
const FILES: [&str; 4] =
    ["tokenizer", "vocab/lookups.bin", "attribute_ruler/patterns", "lemmatizer/lookups/lookups.bin"];

/// A copy of what the rules need of the pipeline's folder.
fn copied() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in FILES {
        let path = copy.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(pipeline().join(file), path).unwrap();
    }
    copy
}

/// Loads the rules alone, of a folder that may hold nothing else.
fn load_rules(folder: &Path) -> Result<(), LoadError> {
    crate::words::tokenizer::Tokenizer::load(folder)?;
    crate::words::lexeme::Lexicon::load(folder)?;
    crate::rules::attribute_ruler::AttributeRuler::load(folder)?;
    crate::rules::lemmatizer::Lemmatizer::load(folder).map(drop)
}

#[test]
fn a_missing_file_is_named() {
    for file in FILES {
        let copy = copied();
        std::fs::remove_file(copy.path().join(file)).unwrap();
        let error = load_rules(copy.path()).unwrap_err();
        assert!(
            matches!(&error, LoadError::Read { file: named, .. } if *named == copy.path().join(file)),
            "{error}"
        );
    }
}

#[test]
fn a_damaged_file_is_named() {
    for file in FILES {
        let copy = copied();
        let path = copy.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        for content in [
            &whole[..whole.len() / 2],
            &whole[..0],
            b"not msgpack at all",
            &[0x91, 0xc0],
            &[0x81, 0xa1, b'x', 7],
        ] {
            std::fs::write(&path, content).unwrap();
            let error = load_rules(copy.path()).unwrap_err();
            assert!(matches!(&error, LoadError::Damaged { file, .. } if *file == path), "{error}");
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let copy = copied();
    for file in FILES {
        let path = copy.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        for step in 0..12 {
            let mut bytes = whole.clone();
            let at = (step * step * 7_919 + step) % bytes.len().min(4_000);
            bytes[at] ^= 1 << (step % 8);
            std::fs::write(&path, &bytes).unwrap();
            if let Err(error) = load_rules(copy.path()) {
                assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            }
        }
        std::fs::write(&path, whole).unwrap();
    }
}
