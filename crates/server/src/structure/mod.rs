//! Transcript -> what a reader wants: sentences with their times, topics.
