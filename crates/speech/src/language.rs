//! The languages of Whisper, and their probabilities.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Code and English name of every language, in the order of Whisper's language tokens. Every multilingual model has
/// the first 99; large-v3 added `yue`.
const LANGUAGES: [(&str, &str); 100] = [
    ("en", "english"),
    ("zh", "chinese"),
    ("de", "german"),
    ("es", "spanish"),
    ("ru", "russian"),
    ("ko", "korean"),
    ("fr", "french"),
    ("ja", "japanese"),
    ("pt", "portuguese"),
    ("tr", "turkish"),
    ("pl", "polish"),
    ("ca", "catalan"),
    ("nl", "dutch"),
    ("ar", "arabic"),
    ("sv", "swedish"),
    ("it", "italian"),
    ("id", "indonesian"),
    ("hi", "hindi"),
    ("fi", "finnish"),
    ("vi", "vietnamese"),
    ("he", "hebrew"),
    ("uk", "ukrainian"),
    ("el", "greek"),
    ("ms", "malay"),
    ("cs", "czech"),
    ("ro", "romanian"),
    ("da", "danish"),
    ("hu", "hungarian"),
    ("ta", "tamil"),
    ("no", "norwegian"),
    ("th", "thai"),
    ("ur", "urdu"),
    ("hr", "croatian"),
    ("bg", "bulgarian"),
    ("lt", "lithuanian"),
    ("la", "latin"),
    ("mi", "maori"),
    ("ml", "malayalam"),
    ("cy", "welsh"),
    ("sk", "slovak"),
    ("te", "telugu"),
    ("fa", "persian"),
    ("lv", "latvian"),
    ("bn", "bengali"),
    ("sr", "serbian"),
    ("az", "azerbaijani"),
    ("sl", "slovenian"),
    ("kn", "kannada"),
    ("et", "estonian"),
    ("mk", "macedonian"),
    ("br", "breton"),
    ("eu", "basque"),
    ("is", "icelandic"),
    ("hy", "armenian"),
    ("ne", "nepali"),
    ("mn", "mongolian"),
    ("bs", "bosnian"),
    ("kk", "kazakh"),
    ("sq", "albanian"),
    ("sw", "swahili"),
    ("gl", "galician"),
    ("mr", "marathi"),
    ("pa", "punjabi"),
    ("si", "sinhala"),
    ("km", "khmer"),
    ("sn", "shona"),
    ("yo", "yoruba"),
    ("so", "somali"),
    ("af", "afrikaans"),
    ("oc", "occitan"),
    ("ka", "georgian"),
    ("be", "belarusian"),
    ("tg", "tajik"),
    ("sd", "sindhi"),
    ("gu", "gujarati"),
    ("am", "amharic"),
    ("yi", "yiddish"),
    ("lo", "lao"),
    ("uz", "uzbek"),
    ("fo", "faroese"),
    ("ht", "haitian creole"),
    ("ps", "pashto"),
    ("tk", "turkmen"),
    ("nn", "nynorsk"),
    ("mt", "maltese"),
    ("sa", "sanskrit"),
    ("lb", "luxembourgish"),
    ("my", "myanmar"),
    ("bo", "tibetan"),
    ("tl", "tagalog"),
    ("mg", "malagasy"),
    ("as", "assamese"),
    ("tt", "tatar"),
    ("haw", "hawaiian"),
    ("ln", "lingala"),
    ("ha", "hausa"),
    ("ba", "bashkir"),
    ("jw", "javanese"),
    ("su", "sundanese"),
    ("yue", "cantonese"),
];

/// Other names of languages, with the language's code.
const ALIASES: [(&str, &str); 13] = [
    ("burmese", "my"),
    ("valencian", "ca"),
    ("flemish", "nl"),
    ("haitian", "ht"),
    ("letzeburgesch", "lb"),
    ("pushto", "ps"),
    ("panjabi", "pa"),
    ("moldavian", "ro"),
    ("moldovan", "ro"),
    ("sinhalese", "si"),
    ("castilian", "es"),
    ("mandarin", "zh"),
    ("jv", "jw"),
];

/// Codes of three letters (ISO 639-2, both of its sets), as media files name languages, with the language's code.
const ISO_639_2: [(&str, &str); 119] = [
    ("eng", "en"),
    ("zho", "zh"),
    ("chi", "zh"),
    ("deu", "de"),
    ("ger", "de"),
    ("spa", "es"),
    ("rus", "ru"),
    ("kor", "ko"),
    ("fra", "fr"),
    ("fre", "fr"),
    ("jpn", "ja"),
    ("por", "pt"),
    ("tur", "tr"),
    ("pol", "pl"),
    ("cat", "ca"),
    ("nld", "nl"),
    ("dut", "nl"),
    ("ara", "ar"),
    ("swe", "sv"),
    ("ita", "it"),
    ("ind", "id"),
    ("hin", "hi"),
    ("fin", "fi"),
    ("vie", "vi"),
    ("heb", "he"),
    ("ukr", "uk"),
    ("ell", "el"),
    ("gre", "el"),
    ("msa", "ms"),
    ("may", "ms"),
    ("ces", "cs"),
    ("cze", "cs"),
    ("ron", "ro"),
    ("rum", "ro"),
    ("dan", "da"),
    ("hun", "hu"),
    ("tam", "ta"),
    ("nor", "no"),
    ("nob", "no"),
    ("tha", "th"),
    ("urd", "ur"),
    ("hrv", "hr"),
    ("bul", "bg"),
    ("lit", "lt"),
    ("lat", "la"),
    ("mri", "mi"),
    ("mao", "mi"),
    ("mal", "ml"),
    ("cym", "cy"),
    ("wel", "cy"),
    ("slk", "sk"),
    ("slo", "sk"),
    ("tel", "te"),
    ("fas", "fa"),
    ("per", "fa"),
    ("lav", "lv"),
    ("ben", "bn"),
    ("srp", "sr"),
    ("aze", "az"),
    ("slv", "sl"),
    ("kan", "kn"),
    ("est", "et"),
    ("mkd", "mk"),
    ("mac", "mk"),
    ("bre", "br"),
    ("eus", "eu"),
    ("baq", "eu"),
    ("isl", "is"),
    ("ice", "is"),
    ("hye", "hy"),
    ("arm", "hy"),
    ("nep", "ne"),
    ("mon", "mn"),
    ("bos", "bs"),
    ("kaz", "kk"),
    ("sqi", "sq"),
    ("alb", "sq"),
    ("swa", "sw"),
    ("glg", "gl"),
    ("mar", "mr"),
    ("pan", "pa"),
    ("sin", "si"),
    ("khm", "km"),
    ("sna", "sn"),
    ("yor", "yo"),
    ("som", "so"),
    ("afr", "af"),
    ("oci", "oc"),
    ("kat", "ka"),
    ("geo", "ka"),
    ("bel", "be"),
    ("tgk", "tg"),
    ("snd", "sd"),
    ("guj", "gu"),
    ("amh", "am"),
    ("yid", "yi"),
    ("lao", "lo"),
    ("uzb", "uz"),
    ("fao", "fo"),
    ("hat", "ht"),
    ("pus", "ps"),
    ("tuk", "tk"),
    ("nno", "nn"),
    ("mlt", "mt"),
    ("san", "sa"),
    ("ltz", "lb"),
    ("mya", "my"),
    ("bur", "my"),
    ("bod", "bo"),
    ("tib", "bo"),
    ("tgl", "tl"),
    ("mlg", "mg"),
    ("asm", "as"),
    ("tat", "tt"),
    ("lin", "ln"),
    ("hau", "ha"),
    ("bak", "ba"),
    ("jav", "jw"),
    ("sun", "su"),
];

/// One of Whisper's languages. Serialised as its code (`"en"`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(u8);

impl Language {
    pub const ENGLISH: Language = Language(0);

    /// Reads a code of two or three letters (`en`, `eng`), an English name (`English`) or a code with a region (`en-GB`),
    /// in any case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let wanted = text.trim().to_lowercase();
        let wanted = ALIASES
            .iter()
            .chain(&ISO_639_2)
            .find(|(alias, _)| *alias == wanted)
            .map_or(wanted.as_str(), |(_, code)| code);
        let position =
            |wanted: &str| LANGUAGES.iter().position(|(code, name)| *code == wanted || *name == wanted);
        let region = || wanted.split_once(['-', '_']).and_then(|(code, _)| position(code));
        position(wanted).or_else(region).map(|at| Self(at as u8))
    }

    /// The code, as in Whisper's language tokens: `en`.
    pub fn code(self) -> &'static str {
        LANGUAGES[self.0 as usize].0
    }

    /// The English name, in lower case.
    pub fn name(self) -> &'static str {
        LANGUAGES[self.0 as usize].1
    }

    /// Every language, in the order of Whisper's language tokens.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..LANGUAGES.len() as u8).map(Self)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Language({})", self.code())
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("“{text}” is not a language that Whisper knows")))
    }
}

/// The probability of each language that a model knows; they add up to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageProbabilities(Vec<(Language, f32)>);

impl LanguageProbabilities {
    /// Takes the probabilities in the order of [`Language::all`].
    pub fn new(probabilities: Vec<(Language, f32)>) -> Self {
        Self(probabilities)
    }

    /// The most probable language and its probability; `None` if there are no probabilities.
    pub fn best(&self) -> Option<(Language, f32)> {
        self.0.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The probability of a language; 0 if the model does not know it.
    pub fn of(&self, language: Language) -> f32 {
        self.0.iter().find(|(known, _)| *known == language).map_or(0.0, |(_, probability)| *probability)
    }

    /// The languages with their probabilities.
    pub fn iter(&self) -> impl Iterator<Item = (Language, f32)> + '_ {
        self.0.iter().copied()
    }

    /// The mean of several windows' probabilities, each window with the same weight.
    pub fn mean<'a>(windows: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum: Vec<(Language, f32)> = Vec::new();
        let mut count = 0;
        for probabilities in windows {
            count += 1;
            if sum.is_empty() {
                sum.clone_from(&probabilities.0);
                continue;
            }
            for (total, (_, probability)) in sum.iter_mut().zip(&probabilities.0) {
                total.1 += probability;
            }
        }
        for (_, probability) in &mut sum {
            *probability /= count as f32;
        }
        Self(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_parsed_from_codes_names_and_regions_in_any_case() {
        for text in ["de", "DE", "German", " german ", "de-AT", "de_CH"] {
            assert_eq!(Language::parse(text).map(Language::code), Some("de"), "{text}");
        }
        assert_eq!(Language::parse("Castilian").map(Language::code), Some("es"));
        for text in ["deu", "GER"] {
            assert_eq!(Language::parse(text).map(Language::code), Some("de"), "{text}");
        }
        for (three, two) in ISO_639_2 {
            assert_eq!(Language::parse(three).map(Language::code), Some(two), "{three}");
        }
        for text in ["", "xx", "germanic", "-", "klingon"] {
            assert_eq!(Language::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_mean_weighs_every_window_the_same() {
        let de = Language::parse("de").unwrap();
        let first = LanguageProbabilities::new(vec![(Language::ENGLISH, 0.2), (de, 0.8)]);
        let second = LanguageProbabilities::new(vec![(Language::ENGLISH, 0.6), (de, 0.4)]);
        let mean = LanguageProbabilities::mean([&first, &second]);
        assert!((mean.of(Language::ENGLISH) - 0.4).abs() < 1e-6);
        assert_eq!(mean.best().unwrap().0, de);
        assert_eq!(LanguageProbabilities::mean([]).best(), None);
    }
}
