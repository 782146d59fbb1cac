//! The byte-pair vocabulary from its tokens alone, as whisper.cpp's files hold it.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use verbatim_speech::Language;

/// Text tokens of the English-only vocabulary, which is GPT-2's, and of the multilingual one.
const ENGLISH_TEXT_TOKENS: usize = 50256;
const MULTILINGUAL_TEXT_TOKENS: usize = 50257;

/// Languages of a model that knows so many tokens, and text tokens of its vocabulary.
fn size(vocabulary: usize) -> Result<(usize, usize), String> {
    match vocabulary {
        51864 => Ok((99, ENGLISH_TEXT_TOKENS)),
        51865 => Ok((99, MULTILINGUAL_TEXT_TOKENS)),
        // From large-v3 on.
        51866 => Ok((100, MULTILINGUAL_TEXT_TOKENS)),
        _ => Err(format!("it knows {vocabulary} tokens, where Whisper's models know 51864, 51865 or 51866")),
    }
}

/// The tokenizer of a model that knows `vocabulary` tokens, from the bytes of its text tokens by their ids.
pub(crate) fn tokenizer(tokens: &[Vec<u8>], vocabulary: usize) -> Result<Tokenizer, String> {
    let (languages, text_tokens) = size(vocabulary)?;
    let missing = || format!("it holds {} tokens of text, where {text_tokens} are needed", tokens.len());
    let tokens = tokens.get(..text_tokens).ok_or_else(missing)?;
    let model = byte_pairs(tokens)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let control: Vec<_> =
        control_tokens(languages).map(|name| AddedToken::from(name, true).normalized(false)).collect();
    tokenizer.add_special_tokens(&control);
    Ok(tokenizer)
}

/// Gives a `tokenizer.json` the merge of a space and `t`, where it knows the token but not how to make it.
///
/// The files published for the multilingual models lack that very first merge, so that with them “ the” becomes
/// the tokens of “ ” and “the”. OpenAI's own vocabulary has it, and what the models write shows that they were
/// trained with it.
pub(crate) fn complete(tokenizer: &mut Tokenizer) -> Result<(), String> {
    let makes_token = |text| tokenizer.encode_fast(text, false).is_ok_and(|found| found.len() == 1);
    let Some(end) = tokenizer.token_to_id("<|endoftext|>") else { return Ok(()) };
    if makes_token(" t") || tokenizer.token_to_id("Ġt").is_none() {
        return Ok(());
    }
    let characters = characters();
    let byte = |character| characters.iter().position(|own| *own == character).map(|byte| byte as u8);
    let bytes = |id| tokenizer.id_to_token(id)?.chars().map(byte).collect::<Option<Vec<u8>>>();
    if let Some(tokens) = (0..end).map(bytes).collect::<Option<Vec<_>>>() {
        tokenizer.with_model(byte_pairs(&tokens)?);
    }
    Ok(())
}

/// The tokens between text and timestamps, in the order of their ids.
fn control_tokens(languages: usize) -> impl Iterator<Item = String> {
    // Its name changed with large-v3.
    let no_speech = if languages > 99 { "nospeech" } else { "nocaptions" };
    ["endoftext", "startoftranscript"]
        .into_iter()
        .map(String::from)
        .chain(Language::all().take(languages).map(|language| language.to_string()))
        .chain(
            ["translate", "transcribe", "startoflm", "startofprev", no_speech, "notimestamps"]
                .map(String::from),
        )
        .map(|name| format!("<|{name}|>"))
}

/// The model whose merges follow from the order of its tokens.
fn byte_pairs(tokens: &[Vec<u8>]) -> Result<BPE, String> {
    let characters = characters();
    let text = |bytes: &[u8]| bytes.iter().map(|byte| characters[usize::from(*byte)]).collect::<String>();
    let merges: Merges = merges(tokens).into_iter().map(|(left, right)| (text(left), text(right))).collect();
    let vocabulary: Vocab = tokens.iter().map(|token| text(token)).zip(0..).collect();
    if vocabulary.len() < tokens.len() {
        return Err("two of its tokens are the same".into());
    }
    let model = BPE::builder().vocab_and_merges(vocabulary, merges).build();
    model.map_err(|error| format!("its tokens make no vocabulary: {error}"))
}

/// The pair that each token was merged from, in the order in which they are merged.
///
/// A token's id is its rank, so the pair is what is left of its bytes once every merge of a lower rank was made.
fn merges(tokens: &[Vec<u8>]) -> Vec<(&[u8], &[u8])> {
    let ranks: HashMap<&[u8], usize> = tokens.iter().map(Vec::as_slice).zip(0..).collect();
    let mut merges = Vec::with_capacity(tokens.len());
    let mut ends = Vec::new();
    for (rank, token) in tokens.iter().enumerate() {
        // Where the parts of the token end, at first after every byte.
        ends.clear();
        ends.extend(1..=token.len());
        while ends.len() > 2 {
            let start = |part: usize| if part == 0 { 0 } else { ends[part - 1] };
            let pair = |part: usize| &token[start(part)..ends[part + 1]];
            let lowest = (0..ends.len() - 1)
                .filter_map(|part| Some((*ranks.get(pair(part))?, part)))
                .filter(|(pair_rank, _)| *pair_rank < rank)
                .min();
            let Some((_, part)) = lowest else { break };
            ends.remove(part);
        }
        if let [middle, _] = ends[..] {
            merges.push(token.split_at(middle));
        }
    }
    merges
}

/// The character that stands for each byte in GPT-2's vocabularies: printable ones for themselves, the others
/// from U+0100 on.
fn characters() -> [char; 256] {
    let mut unprintable = 0x100..;
    std::array::from_fn(|byte| {
        let itself = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if itself { byte as u32 } else { unprintable.next().unwrap_or_default() };
        char::from_u32(code).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes, then `count - 256` pairs of bytes.
    fn tokens(count: usize) -> Vec<Vec<u8>> {
        let pairs = (0..=255u8).flat_map(|first| (0..=255u8).map(move |second| vec![first, second]));
        (0..=255u8).map(|byte| vec![byte]).chain(pairs).take(count).collect()
    }

    #[test]
    fn control_tokens_follow_the_text_by_the_size_of_the_model() {
        for (vocabulary, text, no_timestamps, cantonese) in
            [(51864, 50256, 50362, None), (51865, 50257, 50363, None), (51866, 50257, 50364, Some(50358))]
        {
            let tokenizer = tokenizer(&tokens(text), vocabulary).unwrap();
            let id = |name: &str| tokenizer.token_to_id(name);
            assert_eq!(id("<|endoftext|>"), Some(text as u32));
            assert_eq!(id("<|notimestamps|>"), Some(no_timestamps), "{vocabulary}");
            assert_eq!(id("<|yue|>"), cantonese);
        }
    }

    /// The published `ggml-tiny.en.bin` has one token more than text: `<|endoftext|>` as text.
    #[test]
    fn tokens_behind_the_text_are_passed_over() {
        let mut tokens = tokens(50256);
        tokens.push(b"<|endoftext|>".to_vec());
        let tokenizer = tokenizer(&tokens, 51864).unwrap();
        assert_eq!(tokenizer.token_to_id("<|startoftranscript|>"), Some(50257));
    }

    #[test]
    fn what_is_no_vocabulary_of_whispers_is_refused() {
        let sentence = |tokens: &[Vec<u8>], vocabulary| tokenizer(tokens, vocabulary).unwrap_err();
        assert!(sentence(&tokens(50257), 51863).contains("it knows 51863 tokens"));
        assert!(
            sentence(&tokens(100), 51865).contains("it holds 100 tokens of text, where 50257 are needed")
        );
        let mut twice = tokens(50257);
        twice[300] = twice[301].clone();
        assert!(sentence(&twice, 51865).contains("two of its tokens are the same"));
        let without_a_byte: Vec<_> = tokens(50258).into_iter().filter(|token| token != b"a").collect();
        assert!(sentence(&without_a_byte, 51865).contains("its tokens make no vocabulary"));
    }

    #[test]
    fn a_token_is_merged_from_the_pair_that_lower_merges_leave() {
        let tokens: Vec<Vec<u8>> = ["a", "b", "c", "ab", "bc", "abc", "", "aabc", "x?"]
            .map(|token| token.as_bytes().to_vec())
            .into();
        let merges = merges(&tokens);
        let text: Vec<(&str, &str)> = merges
            .iter()
            .map(|(left, right)| (std::str::from_utf8(left).unwrap(), std::str::from_utf8(right).unwrap()))
            .collect();
        assert_eq!(text, [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "abc"), ("x", "?")]);
    }
}
