//! Segments cut at given times, between words.

use crate::{Segment, Word};

impl Segment {
    /// Its pieces, whose words lie on different sides of a cut; a word belongs to where its middle is. A segment without
    /// words stays whole. The tokens stay with the first piece, for it is not known which of them make which word.
    pub fn cut(self, cuts: &[f64]) -> Vec<Self> {
        let side = |word: &Word| cuts.partition_point(|cut| *cut <= (word.start + word.end) / 2.0);
        let parts: Vec<_> = self.words.chunk_by(|a, b| side(a) == side(b)).map(<[Word]>::to_vec).collect();
        if parts.len() < 2 {
            return vec![self];
        }
        let last = parts.len() - 1;
        let piece = |(number, words): (usize, Vec<Word>)| {
            let bounds = (words.first().map(|word| word.start), words.last().map(|word| word.end));
            Self {
                start: bounds.0.filter(|_| number > 0).unwrap_or(self.start),
                end: bounds.1.filter(|_| number < last).unwrap_or(self.end),
                text: words.iter().map(|word| word.word.as_str()).collect(),
                tokens: if number == 0 { self.tokens.clone() } else { Vec::new() },
                words,
                ..self.clone()
            }
        };
        parts.into_iter().enumerate().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> Segment {
        let word =
            |word: &str, start: f64, end: f64| Word { word: word.to_owned(), start, end, probability: 1.0 };
        let words = vec![
            word(" Who", 1.0, 1.2),
            word(" is", 1.2, 1.4),
            word(" there?", 1.4, 2.0),
            word(" Me.", 2.5, 3.0),
        ];
        let text = words.iter().map(|word| word.word.as_str()).collect();
        Segment {
            start: 0.9,
            end: 3.1,
            text,
            tokens: vec![1, 2],
            words,
            temperature: 0.2,
            ..Segment::default()
        }
    }

    #[test]
    fn a_segment_is_cut_between_words_and_loses_none() {
        let pieces = segment().cut(&[0.5, 2.2, 9.0]);
        let of = |piece: &Segment| {
            (piece.start, piece.end, piece.text.clone(), piece.words.len(), piece.temperature)
        };
        assert_eq!(of(&pieces[0]), (0.9, 2.0, " Who is there?".to_owned(), 3, 0.2));
        assert_eq!(of(&pieces[1]), (2.5, 3.1, " Me.".to_owned(), 1, 0.2));
        assert_eq!((pieces.len(), &pieces[0].tokens, &pieces[1].tokens), (2, &vec![1, 2], &vec![]));
        assert_eq!(
            segment().cut(&[1.3, 1.35, 2.2]).len(),
            3,
            "a cut within a word goes to the side of its middle"
        );
    }

    #[test]
    fn what_need_not_be_cut_stays_as_it_is() {
        for cuts in [&[][..], &[0.5], &[3.5]] {
            assert_eq!(segment().cut(cuts), [segment()]);
        }
        let wordless = Segment { words: Vec::new(), ..segment() };
        assert_eq!(wordless.clone().cut(&[2.2]), [wordless]);
    }
}
