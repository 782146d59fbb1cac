//! The rules of broadcasters on how long a subtitle is shown. All times are in milliseconds.

/// The time that reading a column takes: 20 characters a second.
pub(super) const READING_TIME: u64 = 50;

/// The shortest time that a subtitle is shown.
pub(super) const SHORTEST: u64 = 1000;

/// The longest time that a subtitle is shown.
pub(super) const LONGEST: u64 = 7000;

/// The gap between two subtitles, by which a viewer notices that the text has changed: two frames at 24 a second.
pub(super) const GAP: u64 = 83;

/// Shorter gaps flicker. They are closed down to [`GAP`].
pub(super) const SHORTEST_GAP: u64 = 500;

/// How much earlier than its first word a subtitle may appear, if it needs the time.
pub(super) const LEAD: u64 = 250;

/// How long a subtitle with so many columns is to be shown.
pub(super) fn time_needed(columns: usize) -> u64 {
    (columns as u64 * READING_TIME).clamp(SHORTEST, LONGEST)
}
