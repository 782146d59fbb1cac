//! The state of an arc-eager parse: a stack, a buffer and the arcs so far (Nivre 2008, "Algorithms for
//! Deterministic Incremental Dependency Parsing"), non-monotonic as spaCy has it (Honnibal and Johnson 2015, "An
//! Improved Non-monotonic Transition System for Dependency Parsing").

/// What a move does to the state, numbered as in the file of moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The buffer's first token goes onto the stack.
    Shift,
    /// The stack's top is done; without a head it goes back to the buffer instead, unless it is alone.
    Reduce,
    /// The buffer's first token becomes the head of the stack's top, which is done.
    Left,
    /// The stack's top becomes the head of the buffer's first token, which goes onto the stack.
    Right,
    /// A sentence starts with the buffer's second token.
    Break,
}

impl Action {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Self::Shift, Self::Reduce, Self::Left, Self::Right, Self::Break]
            .get(usize::try_from(number).ok()?)
            .copied()
    }
}

/// Which actions are allowed, by [`Action`].
pub(super) type Allowed = [bool; 5];

/// A parse underway. Every state of the actions [`State::allowed`] leads to an end: a token that came back from
/// the stack is not shifted again before something was attached.
#[derive(Debug)]
pub(super) struct State {
    stack: Vec<usize>,
    /// Tokens that went back to the buffer, the first one last; they come before `next`.
    returned: Vec<usize>,
    /// The first token that has not been on the stack.
    next: usize,
    tokens: Vec<Token>,
}

/// What is known of a token.
#[derive(Debug, Clone, Default)]
struct Token {
    head: Option<usize>,
    /// The move that gave it its head.
    arc: usize,
    /// It came back from the stack, and nothing has been attached to it since.
    came_back: bool,
    starts_sentence: bool,
    /// Its child on each side that was attached last.
    newest_left: Option<usize>,
    newest_right: Option<usize>,
    /// The child of the same head, on the same side, that was attached before it.
    older: Option<usize>,
}

impl State {
    pub(super) fn new(tokens: usize) -> Self {
        let mut tokens = vec![Token::default(); tokens];
        if let Some(first) = tokens.first_mut() {
            first.starts_sentence = true;
        }
        Self { stack: Vec::new(), returned: Vec::new(), next: 0, tokens }
    }

    pub(super) fn is_final(&self) -> bool {
        self.stack.is_empty() && self.buffer_length() == 0
    }

    /// The tokens that the network looks at.
    pub(super) fn features(&self) -> [Option<usize>; 8] {
        let (first, top) = (self.buffer(0), self.stack(0));
        let left = |token: Option<usize>| token.and_then(|token| self.tokens[token].newest_left);
        let right = |token: Option<usize>| token.and_then(|token| self.tokens[token].newest_right);
        [first, self.buffer(1), top, self.stack(1), self.stack(2), left(first), left(top), right(top)]
    }

    /// The first token that may be looked at again, where nothing waits before it.
    pub(super) fn first_needed(&self) -> Option<usize> {
        if !self.stack.is_empty() || !self.returned.is_empty() || self.next == self.tokens.len() {
            return None;
        }
        let mut first = self.next;
        let mut child = self.tokens[self.next].newest_left;
        while let Some(token) = child {
            first = first.min(token);
            child = self.tokens[token].older;
        }
        Some(first)
    }

    pub(super) fn allowed(&self) -> Allowed {
        let starts_sentence =
            |token: Option<usize>| token.is_some_and(|token| self.tokens[token].starts_sentence);
        let (first, second) = (self.buffer(0), self.buffer(1));
        let stack_empty = self.stack.is_empty();
        let came_back = first.is_some_and(|first| self.tokens[first].came_back);
        let shift = stack_empty || second.is_some() && !starts_sentence(first) && !came_back;
        let attach = !stack_empty && first.is_some() && !starts_sentence(first);
        let breaks = match (first, second) {
            (Some(first), Some(second)) => second == first + 1 && !self.tokens[second].starts_sentence,
            _ => false,
        };
        [shift, !stack_empty, attach, attach, breaks]
    }

    /// Does an action that is [`Self::allowed`]; `number` is kept of one that attaches.
    pub(super) fn apply(&mut self, action: Action, number: usize) {
        match (action, self.buffer(0), self.stack(0)) {
            (Action::Shift, Some(first), _) => self.push(first),
            (Action::Reduce, _, Some(top)) => {
                self.stack.pop();
                if self.tokens[top].head.is_none() && !self.stack.is_empty() {
                    self.tokens[top].came_back = true;
                    self.returned.push(top);
                }
            }
            (Action::Left, Some(first), Some(top)) => {
                self.attach(first, top, number);
                self.tokens[first].came_back = false;
                self.stack.pop();
            }
            (Action::Right, Some(first), Some(top)) => {
                self.attach(top, first, number);
                self.push(first);
            }
            (Action::Break, ..) => {
                if let Some(second) = self.buffer(1) {
                    self.tokens[second].starts_sentence = true;
                }
            }
            _ => {}
        }
    }

    /// Each token's head and the move that gave it, where it has one.
    pub(super) fn into_arcs(self) -> impl Iterator<Item = Option<(usize, usize)>> {
        self.tokens.into_iter().map(|token| token.head.map(|head| (head, token.arc)))
    }

    fn stack(&self, depth: usize) -> Option<usize> {
        self.stack.iter().rev().nth(depth).copied()
    }

    fn buffer(&self, place: usize) -> Option<usize> {
        match place.checked_sub(self.returned.len()) {
            None => self.returned.iter().rev().nth(place).copied(),
            Some(behind) => Some(self.next + behind).filter(|token| *token < self.tokens.len()),
        }
    }

    fn buffer_length(&self) -> usize {
        self.tokens.len() - self.next + self.returned.len()
    }

    /// Moves the buffer's first token onto the stack.
    fn push(&mut self, first: usize) {
        if self.returned.pop().is_none() {
            self.next += 1;
        }
        self.stack.push(first);
    }

    fn attach(&mut self, head: usize, child: usize, number: usize) {
        if let Some(former) = self.tokens[child].head {
            self.detach(former, child);
        }
        let newest = self.newest(head, child);
        let older = newest.replace(child);
        let token = &mut self.tokens[child];
        (token.head, token.arc, token.older) = (Some(head), number, older);
    }

    fn detach(&mut self, head: usize, child: usize) {
        let older = self.tokens[child].older;
        let newest = self.newest(head, child);
        if *newest == Some(child) {
            *newest = older;
            return;
        }
        let mut sibling = *newest;
        while let Some(newer) = sibling {
            sibling = self.tokens[newer].older;
            if sibling == Some(child) {
                self.tokens[newer].older = older;
            }
        }
    }

    /// The newest child of `head` on the side of `child`.
    fn newest(&mut self, head: usize, child: usize) -> &mut Option<usize> {
        let token = &mut self.tokens[head];
        if child < head { &mut token.newest_left } else { &mut token.newest_right }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_without_head_comes_back() {
        let mut state = State::new(3);
        assert_eq!(state.allowed(), [true, false, false, false, true]);
        state.apply(Action::Shift, 0);
        state.apply(Action::Shift, 0);
        state.apply(Action::Reduce, 0);
        assert_eq!(state.features()[..3], [Some(1), Some(2), Some(0)]);
        // It may not be shifted again at once, but attached.
        assert_eq!(state.allowed(), [false, true, true, true, true]);
        state.apply(Action::Right, 7);
        assert_eq!(state.features(), [Some(2), None, Some(1), Some(0), None, None, None, None]);
        state.apply(Action::Right, 8);
        assert_eq!(state.features(), [None, None, Some(2), Some(1), Some(0), None, None, None]);
        for _ in 0..3 {
            assert_eq!(state.allowed(), [false, true, false, false, false]);
            state.apply(Action::Reduce, 0);
        }
        assert!(state.is_final());
        assert_eq!(state.into_arcs().collect::<Vec<_>>(), [None, Some((0, 7)), Some((1, 8))]);
    }

    #[test]
    fn a_new_head_takes_a_child_from_the_former_one() {
        let mut state = State::new(4);
        for action in [Action::Shift, Action::Right, Action::Right] {
            state.apply(action, 1);
        }
        assert_eq!(state.features()[7], None);
        // 3 takes 2 from 1, then 1 from 0.
        state.apply(Action::Left, 2);
        assert_eq!(state.features(), [Some(3), None, Some(1), Some(0), None, Some(2), None, None]);
        state.apply(Action::Left, 3);
        assert_eq!(state.features(), [Some(3), None, Some(0), None, None, Some(1), None, None]);
        assert_eq!(state.into_arcs().collect::<Vec<_>>(), [None, Some((3, 3)), Some((3, 2)), None]);
    }

    #[test]
    fn a_break_ends_the_sentence_before_anything_is_attached_over_it() {
        let mut state = State::new(3);
        state.apply(Action::Shift, 0);
        state.apply(Action::Break, 0);
        assert_eq!(state.allowed(), [true, true, true, true, false]);
        state.apply(Action::Right, 1);
        // 2 starts a sentence: what is on the stack has to go first.
        assert_eq!(state.allowed(), [false, true, false, false, false]);
    }

    proptest! {
        /// Whatever the network says, a parse ends, in a forest.
        #[test]
        fn every_parse_ends_without_cycles(tokens in 0..12_usize, choices in prop::collection::vec(0..5_usize, 300)) {
            let mut state = State::new(tokens);
            let mut choices = choices.into_iter();
            while !state.is_final() {
                let allowed = state.allowed();
                prop_assert!(allowed.contains(&true));
                let choice = choices.next().expect("a parse takes few moves");
                let action = (choice..choice + 5).map(|action| action % 5).find(|action| allowed[*action]).unwrap();
                state.apply(Action::from_number(action as u32).unwrap(), action);
            }
            let heads: Vec<_> = state.into_arcs().map(|arc| arc.map(|(head, _)| head)).collect();
            for token in 0..tokens {
                let path = std::iter::successors(Some(token), |token| heads[*token]);
                prop_assert!(path.take(tokens + 1).count() <= tokens);
            }
        }
    }
}
