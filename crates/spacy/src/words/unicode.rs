//! Characters as Python's `str` sorts them, since that is what spaCy's rules and features were made with.

use unicode_general_category::{GeneralCategory, get_general_category};

/// Characters that stand for a digit and are no decimal digits: superscripts, circled ones and the like (property
/// `Numeric_Type=Digit`, from the Unicode Character Database).
const DIGIT_SIGNS: [(char, char); 20] = [
    ('\u{b2}', '\u{b3}'),
    ('\u{b9}', '\u{b9}'),
    ('\u{1369}', '\u{1371}'),
    ('\u{19da}', '\u{19da}'),
    ('\u{2070}', '\u{2070}'),
    ('\u{2074}', '\u{2079}'),
    ('\u{2080}', '\u{2089}'),
    ('\u{2460}', '\u{2468}'),
    ('\u{2474}', '\u{247c}'),
    ('\u{2488}', '\u{2490}'),
    ('\u{24ea}', '\u{24ea}'),
    ('\u{24f5}', '\u{24fd}'),
    ('\u{24ff}', '\u{24ff}'),
    ('\u{2776}', '\u{277e}'),
    ('\u{2780}', '\u{2788}'),
    ('\u{278a}', '\u{2792}'),
    ('\u{10a40}', '\u{10a43}'),
    ('\u{10e60}', '\u{10e68}'),
    ('\u{11052}', '\u{1105a}'),
    ('\u{1f100}', '\u{1f10a}'),
];

/// `str.isspace` of one character: white space, and the four separators of ASCII.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// `str.isalpha` of one character: a letter, which marks and letter-like numbers are not.
pub(crate) fn is_letter(character: char) -> bool {
    use GeneralCategory::{LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter};
    character.is_ascii_alphabetic()
        || !character.is_ascii()
            && matches!(
                get_general_category(character),
                UppercaseLetter | LowercaseLetter | TitlecaseLetter | ModifierLetter | OtherLetter
            )
}

/// `str.isdigit` of one character.
pub(crate) fn is_digit(character: char) -> bool {
    character.is_ascii_digit()
        || !character.is_ascii()
            && (get_general_category(character) == GeneralCategory::DecimalNumber
                || DIGIT_SIGNS.iter().any(|(first, last)| (first..=last).contains(&&character)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_sorted_as_in_python() {
        assert!(is_space('\u{1c}') && is_space('\u{a0}') && is_space('\u{85}') && !is_space('\u{200b}'));
        assert!(is_letter('é') && is_letter('ǅ') && is_letter('ʰ') && is_letter('日'));
        assert!(!is_letter('Ⅷ') && !is_letter('\u{301}') && !is_letter('_') && !is_letter('٣'));
        assert!(
            is_digit('7')
                && is_digit('٣')
                && is_digit('²')
                && is_digit('⑨')
                && !is_digit('½')
                && !is_digit('Ⅷ')
        );
    }
}
