//! Tells the full stop of an abbreviation from that of a sentence's end.

use verbatim_speech::Language;

/// Never end a sentence: a word follows.
const TITLES: &[&str] = &[
    "Mr", "Mrs", "Ms", "Dr", "Prof", "Rev", "Hon", "Gen", "Col", "Maj", "Capt", "Lt", "Sgt", "Gov", "Sen",
    "Rep", "Pres", "Messrs", "St", "Mt", "Ft", "vs", "e.g", "E.g", "i.e", "I.e", "cf", "approx",
];

/// Do not end a sentence if a number follows.
const BEFORE_NUMBERS: &[&str] = &[
    "No", "no", "Nos", "nos", "Nr", "nr", "Fig", "fig", "Vol", "vol", "Ch", "ch", "Sec", "sec", "Art", "art",
    "p", "pp", "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec",
];

/// Do not end a sentence if a name follows.
const NAMES: &[&str] = &["Inc", "Ltd", "Co", "Corp", "Bros", "Jr", "Sr", "al"];

const GERMAN: &[&str] =
    &["Hr", "Fr", "Fa", "bzw", "ca", "evtl", "ggf", "inkl", "z.B", "d.h", "u.a", "sog", "bspw"];
const FRENCH: &[&str] = &["M", "MM", "Mme", "Mmes", "Mlle", "Mgr", "Ste", "env"];
const SPANISH: &[&str] = &["Sr", "Sra", "Srta", "Sres", "Dra", "D", "Dña", "Ud", "Uds", "Vd", "aprox"];

/// German dates and centuries: a number after one of these words is an ordinal, as in “am 3. Oktober”.
const GERMAN_BEFORE_ORDINALS: &[&str] =
    &["am", "im", "der", "die", "das", "dem", "den", "des", "vom", "zum", "zur", "seit", "bis"];

/// Words that are much more often the start of a sentence than part of a name.
const STARTERS: &[&str] = &[
    "A", "After", "All", "Also", "An", "And", "Are", "As", "At", "But", "By", "Can", "Did", "Do", "For",
    "From", "Had", "Has", "He", "Her", "Here", "His", "How", "However", "I", "If", "In", "Is", "It", "Its",
    "Let", "Many", "My", "No", "Not", "Now", "Of", "On", "One", "Or", "Our", "She", "So", "Some", "That",
    "The", "Then", "There", "These", "They", "This", "To", "We", "Well", "What", "When", "Yes", "You",
];

/// Whether `after` continues the sentence that seems to end with the full stop of `before`. Both are trimmed.
pub(super) fn is_abbreviation(before: &str, after: &str, language: Option<Language>) -> bool {
    let Some(stem) = before.strip_suffix('.').filter(|stem| !stem.ends_with('.')) else { return false };
    let (rest, word) = last_word(stem);
    let number_follows = after.starts_with(|c: char| c.is_ascii_digit());

    TITLES.contains(&word)
        || of_language(word, language)
        || (BEFORE_NUMBERS.contains(&word) && number_follows)
        || (is_german_ordinal(rest, word) && language.is_some_and(|language| language.code() == "de"))
        || ((NAMES.contains(&word) || is_acronym(word) || is_initial(rest, word, after))
            && after.starts_with(char::is_uppercase)
            && !STARTERS.contains(&first_word(after)))
}

fn of_language(word: &str, language: Option<Language>) -> bool {
    match language.map(Language::code) {
        Some("de") => GERMAN.contains(&word),
        Some("fr") => FRENCH.contains(&word),
        Some("es") => SPANISH.contains(&word),
        _ => false,
    }
}

/// Whether a word is like “U.S”, “p.m” and “Ph.D”: short parts with full stops between them.
fn is_acronym(word: &str) -> bool {
    word.contains('.')
        && word
            .split('.')
            .all(|part| (1..=2).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic))
}

/// Whether a letter is an initial, like the “F” of “John F. Kennedy” and unlike the “C” of “vitamin C. Nobody”: a
/// capital after a name or at the start, or one of several initials.
fn is_initial(rest: &str, word: &str, after: &str) -> bool {
    let (_, previous) = last_word(rest.trim_end());
    let next = first_word(after);
    is_capital(word)
        && word != "I"
        && (previous.is_empty()
            || previous.starts_with(char::is_uppercase)
            || (is_capital(next) && after[next.len()..].starts_with('.')))
}

fn is_capital(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(char::is_uppercase) && letters.next().is_none()
}

fn is_german_ordinal(rest: &str, word: &str) -> bool {
    let (_, previous) = last_word(rest.trim_end());
    word.len() <= 2
        && !word.is_empty()
        && word.bytes().all(|b| b.is_ascii_digit())
        && GERMAN_BEFORE_ORDINALS.contains(&previous.to_lowercase().as_str())
}

/// Splits a text into what is before the last word, and the word without the marks that open it or join it to others.
fn last_word(text: &str) -> (&str, &str) {
    let ends = |c: char| c.is_whitespace() || "([{\"“„«‘'-–—/¿¡".contains(c);
    let start = text.char_indices().rev().find(|(_, c)| ends(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    text.split_at(start)
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}
