//! Where the time goes: how long threads have been in each stage, in the whole process.
//!
//! A stage within another takes its time from it, also where a thread that waits for its share of one window
//! works on another window meanwhile.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a thread may be at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the model's weights and packing them.
    Loading,
    /// Voice activity, and the cutting of windows.
    Voice,
    /// Samples to log-mel spectrograms.
    Mel,
    /// The encoder's convolutions.
    Convolutions,
    /// The encoder's matrix products, with what is done to their rows.
    EncoderProducts,
    EncoderAttention,
    /// Keys and values of the encoder's states, for the decoder.
    CrossMemory,
    /// The decoder's matrix products, with what is done to their rows; waiting between its layers.
    DecoderProducts,
    SelfAttention,
    CrossAttention,
    /// The decoder's last product: a logit for every token.
    Logits,
    /// Rules and the choice of the next tokens.
    Search,
    /// When each word was said: the decoder told the text, and the alignment.
    Words,
}

impl Stage {
    const COUNT: usize = Self::Words as usize + 1;

    /// In the order in which a recording goes through them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Loading,
        Self::Voice,
        Self::Mel,
        Self::Convolutions,
        Self::EncoderProducts,
        Self::EncoderAttention,
        Self::CrossMemory,
        Self::DecoderProducts,
        Self::SelfAttention,
        Self::CrossAttention,
        Self::Logits,
        Self::Search,
        Self::Words,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading of the model",
            Self::Voice => "voice activity",
            Self::Mel => "log-mel",
            Self::Convolutions => "encoder: convolutions",
            Self::EncoderProducts => "encoder: matrix products",
            Self::EncoderAttention => "encoder: attention",
            Self::CrossMemory => "encoder: keys and values for the decoder",
            Self::DecoderProducts => "decoder: matrix products",
            Self::SelfAttention => "decoder: self attention",
            Self::CrossAttention => "decoder: cross attention",
            Self::Logits => "decoder: logits",
            Self::Search => "search",
            Self::Words => "times of words",
        }
    }

    /// How long all threads together have been in this stage since the process began.
    pub fn time(self) -> Duration {
        Duration::from_nanos(SPENT[self as usize].load(Ordering::Relaxed))
    }
}

static SPENT: [AtomicU64; Stage::COUNT] = [const { AtomicU64::new(0) }; Stage::COUNT];

thread_local! {
    /// What this thread is at, and since when that was last noted.
    static AT: Cell<Option<(Stage, Instant)>> = const { Cell::new(None) };
}

/// Does `work` as part of a stage. The decoder's stages within [`Stage::Words`] stay part of it.
pub fn within<T>(stage: Stage, work: impl FnOnce() -> T) -> T {
    if matches!(AT.get(), Some((Stage::Words, _))) {
        return work();
    }
    let _entered = Entered::new(stage);
    work()
}

/// Goes back to the stage before, also when it is left by a panic.
struct Entered {
    before: Option<Stage>,
}

impl Entered {
    fn new(stage: Stage) -> Self {
        Self { before: turn_to(Some(stage)) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        turn_to(self.before);
    }
}

/// Books the time of the stage that this thread was at, and gives that.
fn turn_to(stage: Option<Stage>) -> Option<Stage> {
    let now = Instant::now();
    let (before, since) = AT.replace(stage.map(|stage| (stage, now)))?;
    let spent = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
    SPENT[before as usize].fetch_add(spent, Ordering::Relaxed);
    Some(before)
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_stage_takes_its_time_from_the_one_around_it() {
        // Stages that no other test comes by would be needed for exact figures; so only lower bounds.
        let spent = |stage: Stage| stage.time();
        let (outer, inner) = (spent(Stage::Loading), spent(Stage::Mel));
        let nap = Duration::from_millis(20);
        within(Stage::Loading, || {
            sleep(nap);
            within(Stage::Mel, || sleep(2 * nap));
            assert_eq!(AT.get().map(|(stage, _)| stage), Some(Stage::Loading));
        });
        assert_eq!(AT.get(), None);
        assert!(spent(Stage::Loading) - outer >= nap && spent(Stage::Mel) - inner >= 2 * nap);
    }

    #[test]
    fn what_is_within_words_stays_there() {
        let before = Stage::Words.time();
        let nap = Duration::from_millis(20);
        within(Stage::Words, || within(Stage::Logits, || sleep(nap)));
        assert!(Stage::Words.time() - before >= nap);
    }

    #[test]
    fn a_panic_leaves_the_stage() {
        let caught = std::panic::catch_unwind(|| within(Stage::Search, || panic!("on purpose")));
        assert!(caught.is_err() && AT.get().is_none());
    }

    #[test]
    fn every_stage_is_listed_in_its_place() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index, "{}", stage.name());
        }
    }
}
