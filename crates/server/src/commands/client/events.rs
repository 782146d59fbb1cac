//! Reads a stream of server-sent events (WHATWG HTML, section 9.2.6) as its bytes arrive.

/// The longest line, and the most data of an event, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// `message` where the stream gives none.
    pub(super) name: String,
    /// Its lines, separated by line feeds.
    pub(super) data: String,
}

/// A line or an event is longer than [`MAX_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Takes in the bytes of a stream and gives out its events.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    /// Whether the last byte was a carriage return, which a line feed may follow.
    after_return: bool,
    /// Whether a line has been read; before the first, there may be a byte order mark.
    begun: bool,
    name: String,
    data: String,
    has_data: bool,
    id: Option<String>,
    last_id: Option<String>,
}

impl EventReader {
    /// Takes in the next bytes, cut anywhere. Gives the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    events.extend(self.end_line()?);
                }
                _ => {
                    self.after_return = false;
                    self.line.push(byte);
                    if self.line.len() > MAX_BYTES {
                        return Err(TooLong);
                    }
                }
            }
        }
        Ok(events)
    }

    /// The id of the last event that had one: what a client sends as `Last-Event-ID` when it connects again.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Forgets the event and the line that are not complete, as at the end of a connection.
    pub(super) fn restart(&mut self) {
        *self = Self { last_id: self.last_id.take(), ..Self::default() };
    }

    fn end_line(&mut self) -> Result<Option<Event>, TooLong> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = if self.begun { &*line } else { line.strip_prefix('\u{feff}').unwrap_or(&line) };
        self.begun = true;
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        // A line that begins with a colon is a comment: its name is empty, which no field's is.
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.name = value.to_owned(),
            "data" => {
                if self.data.len() + value.len() > MAX_BYTES {
                    return Err(TooLong);
                }
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            _ => {}
        }
        Ok(None)
    }

    /// An event ends at an empty line. One without data is none, but its id counts.
    fn dispatch(&mut self) -> Option<Event> {
        if let Some(id) = self.id.take() {
            self.last_id = Some(id).filter(|id| !id.is_empty());
        }
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        let name = if name.is_empty() { "message".to_owned() } else { name };
        std::mem::take(&mut self.has_data).then_some(Event { name, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    const STREAM: &str = "\u{feff}: hello\nevent: status\nid: 1\ndata: {\"status\":\"processing\"}\n\n\
                          event:progress\r\nid:2\r\ndata:{\"percentage\":40,\r\ndata: \"step\":\"Wörter\"}\r\n\r\n\
                          : still here\n\nretry: 10\rdata\rnonsense\rid: 3\r\revent: no data\nid: 4\n\ndata: cut of";

    fn expected() -> Vec<Event> {
        vec![
            event("status", r#"{"status":"processing"}"#),
            event("progress", "{\"percentage\":40,\n\"step\":\"Wörter\"}"),
            event("message", ""),
        ]
    }

    #[test]
    fn events_are_told_apart_with_any_line_end_and_their_ids_are_kept() {
        let mut reader = EventReader::default();
        assert_eq!(reader.last_id(), None);
        assert_eq!(reader.push(STREAM.as_bytes()).unwrap(), expected());
        assert_eq!(reader.last_id(), Some("4"));
        reader.restart();
        assert_eq!(reader.push(b"data: anew\n\n").unwrap(), [event("message", "anew")]);
        assert_eq!(reader.last_id(), Some("4"));
    }

    #[test]
    fn endless_lines_and_events_are_refused() {
        let mut reader = EventReader::default();
        let line = vec![b'x'; MAX_BYTES];
        assert_eq!(reader.push(&line), Ok(vec![]));
        assert_eq!(reader.push(b"x"), Err(TooLong));
        let mut reader = EventReader::default();
        let lines = format!("data: {}\n", "x".repeat(MAX_BYTES / 2));
        assert_eq!(reader.push(lines.as_bytes()), Ok(vec![]));
        assert_eq!(reader.push(lines.as_bytes()), Ok(vec![]));
        assert_eq!(reader.push(lines.as_bytes()), Err(TooLong));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_stream_is_cut(cuts in proptest::collection::vec(0..STREAM.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut reader = EventReader::default();
            let (mut events, mut from) = (Vec::new(), 0);
            for to in cuts.into_iter().chain([STREAM.len()]) {
                events.extend(reader.push(&STREAM.as_bytes()[from..to]).unwrap());
                from = to;
            }
            prop_assert_eq!(events, expected());
        }

        #[test]
        fn any_bytes_are_taken_in(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert!(EventReader::default().push(&bytes).is_ok());
        }
    }
}
