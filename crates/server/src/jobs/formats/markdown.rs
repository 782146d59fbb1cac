//! Renders a result as a document in Markdown: the name of the file, facts, and the text by topics.

use std::fmt::Write;

use verbatim_speech::{Language, Task};
use verbatim_structure::needs_space;

use super::chapters::title;
use super::clock::hours;
use super::plain::one_line;
use crate::jobs::result::{Sentence, TranscriptionResult};

/// A pause of that many seconds starts a paragraph.
const PARAGRAPH_PAUSE: f64 = 2.0;

/// The most sentences in a paragraph.
const MOST_SENTENCES: usize = 6;

/// The document. A topic has its title and start as a heading, its summary as a quotation, and its sentences in
/// paragraphs. Without topics there are only paragraphs, and without sentences the transcript is one.
pub(super) fn markdown(result: &TranscriptionResult) -> String {
    let mut out = format!("# {}\n\n{}\n", escaped(&one_line(&result.filename)), facts(result));
    let mut rest = result.sentences.as_slice();
    for topic in &result.topics {
        let (sentences, after) = rest.split_at(topic.sentences.len().min(rest.len()));
        rest = after;
        let start = hours(topic.seconds.max(0.0) as u64);
        write!(out, "\n## {} ({start})\n", escaped(&title(topic))).expect("a String takes all");
        let summary = one_line(&topic.summary);
        if !summary.is_empty() {
            write!(out, "\n> {}\n", escaped(&summary)).expect("a String takes all");
        }
        write_paragraphs(&mut out, sentences);
    }
    write_paragraphs(&mut out, rest);
    let transcript = one_line(&result.transcript);
    if result.sentences.is_empty() && !transcript.is_empty() {
        write!(out, "\n{}\n", escaped(&transcript)).expect("a String takes all");
    }
    out
}

/// One sentence: the language, until when is spoken, and the models. What is not known is left out.
fn facts(result: &TranscriptionResult) -> String {
    let mut facts = Vec::new();
    let language = result.language_detection.language.as_deref();
    if let Some(language) = language.map(|code| Language::parse(code).map_or(code, |known| known.name())) {
        let mut letters = language.chars();
        let language: String =
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        facts.push(match result.task {
            Task::Transcribe => language,
            Task::Translate => language + " translated into English",
        });
    }
    let end = result.whisper_segments.iter().map(|numbered| numbered.segment.end).fold(0.0, f64::max);
    if end > 0.0 {
        facts.push(format!("speech until {}", hours(end.ceil() as u64)));
    }
    facts.push(format!("transcribed by {}", escaped(&result.models_used.whisper)));
    let structured = [&result.models_used.spacy, &result.models_used.topics];
    let structured: Vec<_> = structured.into_iter().flatten().map(|name| escaped(name)).collect();
    if !structured.is_empty() {
        facts.push(format!("structured by {}", structured.join(" and ")));
    }
    facts.join(", ") + "."
}

/// Sentences in paragraphs, each with a blank line before it.
fn write_paragraphs(out: &mut String, sentences: &[Sentence]) {
    let mut paragraphs: Vec<(String, usize, f64)> = Vec::new();
    for sentence in sentences {
        let text = one_line(&sentence.text);
        match paragraphs.last_mut() {
            Some((paragraph, count, end))
                if *count < MOST_SENTENCES && sentence.start - *end < PARAGRAPH_PAUSE =>
            {
                if needs_space(paragraph, &text) {
                    paragraph.push(' ');
                }
                paragraph.push_str(&text);
                (*count, *end) = (*count + 1, sentence.end);
            }
            _ => paragraphs.push((text, 1, sentence.end)),
        }
    }
    for (paragraph, _, _) in paragraphs {
        write!(out, "\n{}\n", escaped(&paragraph)).expect("a String takes all");
    }
}

/// A line of text as Markdown that reads the same: with a backslash before what would be formatting. At the start of a
/// line, more characters are: those of headings, lists and rules.
fn escaped(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let is_number = line.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['.', ')']);
    let mut in_number = is_number;
    for (place, letter) in line.char_indices() {
        let starts = place == 0 && matches!(letter, '#' | '+' | '-' | '=' | '~' | ':');
        let ends_number = in_number && matches!(letter, '.' | ')');
        in_number = in_number && letter.is_ascii_digit();
        if starts
            || ends_number
            || matches!(letter, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '$')
        {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::jobs::formats::testing::{result, segment, sentence, topic};

    #[test]
    fn a_document_has_its_facts_and_a_heading_for_each_topic() {
        let sentences = [
            sentence(1.0, 2.0, "The boats are old."),
            sentence(2.5, 4.0, "They leak."),
            sentence(6.5, 8.0, "*Nobody* sails\nthem."),
            sentence(70.0, 75.0, "The river is high."),
            sentence(80.0, 81.0, "It rained."),
        ];
        let mut result = result(vec![segment(1.0, 80.2, " The boats …")]);
        result.topics = vec![topic("Old boats", &sentences[..3]), topic("The river", &sentences[3..])];
        result.sentences = sentences.to_vec();
        result.models_used.spacy = Some("en_core_web_sm".to_owned());
        result.models_used.topics = Some("lexical".to_owned());
        assert_snapshot!(markdown(&result), @r"
        # “a”.wav

        English, speech until 00:01:21, transcribed by base, structured by en\_core\_web\_sm and lexical.

        ## Old boats (00:00:01)

        > The boats are old.

        The boats are old. They leak.

        \*Nobody\* sails them.

        ## The river (00:01:10)

        > The river is high.

        The river is high.

        It rained.
        ");
    }

    #[test]
    fn without_topics_there_are_paragraphs_and_without_sentences_there_is_the_transcript() {
        let mut of = result(vec![segment(0.0, 2.0, " 1. Hello. # Bye.")]);
        of.language_detection.language = Some("fr".to_owned());
        of.task = Task::Translate;
        let facts = "French translated into English, speech until 00:00:02, transcribed by base.";
        assert_eq!(markdown(&of), format!("# “a”.wav\n\n{facts}\n\n1\\. Hello. # Bye.\n"));
        of.sentences = vec![sentence(0.0, 1.0, "你好。"), sentence(1.0, 2.0, "再见。")];
        assert_eq!(markdown(&of), format!("# “a”.wav\n\n{facts}\n\n你好。再见。\n"));
    }

    #[test]
    fn a_long_monologue_has_paragraphs_of_six_sentences() {
        let mut of = result(Vec::new());
        of.sentences = (0..8).map(|i| sentence(f64::from(i), f64::from(i) + 1.0, "So.")).collect();
        assert!(markdown(&of).ends_with("\n\nSo. So. So. So. So. So.\n\nSo. So.\n"), "{}", markdown(&of));
    }

    #[test]
    fn text_is_never_taken_for_markdown() {
        for (text, expected) in [
            ("# no heading", "\\# no heading"),
            ("- no list", "\\- no list"),
            ("12) no list", "12\\) no list"),
            ("3.5 is a number", "3\\.5 is a number"),
            ("a - b # c 1. d", "a - b # c 1. d"),
            ("<b> & [x](y) `z` a_b \\", "\\<b\\> \\& \\[x\\](y) \\`z\\` a\\_b \\\\"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
