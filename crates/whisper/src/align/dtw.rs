//! Dynamic time warping: the way through a matrix of tokens and frames that gathers the most weight, going
//! on by a token, a frame or both at every step (Sakoe and Chiba 1978).

/// For every token, the frame at which the best way first comes to it. `weights` is `[tokens, frames]`.
pub(super) fn first_frames(weights: &[f32], frames: usize) -> Vec<usize> {
    if frames == 0 || weights.is_empty() {
        return Vec::new();
    }
    let steps = best_steps(weights, frames);
    let tokens = weights.len() / frames;
    let mut first = vec![0; tokens];
    let (mut token, mut frame) = (tokens - 1, frames - 1);
    loop {
        // Going backwards, the last frame that is noted for a token is its first.
        first[token] = frame;
        match steps[token * frames + frame] {
            BOTH => (token, frame) = (token - 1, frame - 1),
            TOKEN => token -= 1,
            FRAME => frame -= 1,
            _ => return first,
        }
    }
}

/// How the best way comes to a place: from the token before, the frame before, or both.
const BOTH: u8 = 0;
const TOKEN: u8 = 1;
const FRAME: u8 = 2;
const START: u8 = 3;

/// For every place `[tokens, frames]`, the last step of the best way to it.
fn best_steps(weights: &[f32], frames: usize) -> Vec<u8> {
    let mut steps = vec![START; weights.len()];
    // The cost of the best way to each frame of the token before, and behind it to the first of this one.
    let mut before = vec![f32::INFINITY; frames];
    for (token, (weights, steps)) in
        weights.chunks_exact(frames).zip(steps.chunks_exact_mut(frames)).enumerate()
    {
        let (mut both, mut here) = (if token == 0 { 0.0 } else { f32::INFINITY }, f32::INFINITY);
        for ((weight, step), above) in weights.iter().zip(steps.iter_mut()).zip(&mut before) {
            let (earlier, onward) = if both <= *above { (both, BOTH) } else { (*above, TOKEN) };
            let (least, taken) = if earlier < here { (earlier, onward) } else { (here, FRAME) };
            here = least - weight;
            *step = taken;
            both = std::mem::replace(above, here);
        }
    }
    steps[0] = START;
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weight of the best way, by trying all of them.
    fn most_weight(weights: &[f32], frames: usize, token: usize, frame: usize) -> f32 {
        let way = |token, frame| most_weight(weights, frames, token, frame);
        let before = match (token, frame) {
            (0, 0) => 0.0,
            (0, _) => way(0, frame - 1),
            (_, 0) => way(token - 1, 0),
            _ => way(token - 1, frame).max(way(token, frame - 1)).max(way(token - 1, frame - 1)),
        };
        before + weights[token * frames + frame]
    }

    /// The weight of the way by these first frames: it stays with a token until the frame before, or at, the
    /// next one's first.
    fn weight_of(weights: &[f32], frames: usize, first: &[usize]) -> f32 {
        let at = |token: usize, frame: usize| weights[token * frames + frame];
        (0..first.len())
            .map(|token| {
                let Some(next) = first.get(token + 1) else {
                    return (first[token]..frames).map(|frame| at(token, frame)).sum::<f32>();
                };
                let stay: f32 = (first[token]..*next).map(|frame| at(token, frame)).sum();
                // At the next one's first frame the way may, or may not, have been with this one, too.
                let shared = if first[token] == *next { at(token, *next) } else { at(token, *next).max(0.0) };
                stay + shared
            })
            .sum()
    }

    #[test]
    fn the_way_found_is_the_heaviest_of_all() {
        let mut x = 1u32;
        for (tokens, frames) in [(1, 1), (1, 5), (5, 1), (3, 7), (6, 6), (7, 4)] {
            for _ in 0..50 {
                let weights: Vec<f32> = (0..tokens * frames)
                    .map(|_| {
                        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (x >> 16) as i16 as f32 / 32768.0
                    })
                    .collect();
                let first = first_frames(&weights, frames);
                assert_eq!((first.len(), first[0]), (tokens, 0));
                assert!(first.is_sorted(), "{first:?}");
                let most = most_weight(&weights, frames, tokens - 1, frames - 1);
                let found = weight_of(&weights, frames, &first);
                assert!((found - most).abs() < 1e-4, "{first:?} weighs {found}, the best way {most}");
            }
        }
    }

    #[test]
    fn tokens_start_where_their_weight_lies() {
        // Three tokens on ten frames, heard at 0 to 2, 3 to 6 and 7 to 9.
        let heard = [0..3, 3..7, 7..10];
        let weights: Vec<f32> = heard
            .iter()
            .flat_map(|heard| (0..10).map(|at| if heard.contains(&at) { 1.0 } else { -1.0 }))
            .collect();
        assert_eq!(first_frames(&weights, 10), [0, 3, 7]);
    }

    #[test]
    fn without_frames_or_tokens_there_is_no_way() {
        assert!(first_frames(&[], 0).is_empty());
        assert!(first_frames(&[], 5).is_empty());
    }
}
