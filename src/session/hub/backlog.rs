//! What has been said and not yet been heard by everybody: one copy of the bytes, one cursor per sink.
//!
//! Chunks stand in one ring in the order in which they came; each counts the sinks that have yet to take it, and the
//! oldest goes when its count is nothing. So the memory is bounded by the slowest sink alone, however many there are,
//! and a sink that is far behind gets many chunks by one write.

use std::collections::VecDeque;

/// Bytes on their way from any source to all sinks.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Invariant: exactly the bytes of `chunks`, in their order.
    bytes: VecDeque<u8>,
    /// Position of the first byte of `bytes`, counted from the beginning of time.
    start: u64,
    chunks: VecDeque<Chunk>,
    /// Number of the first of `chunks`, counted likewise.
    first: u64,
    sinks: usize,
}

/// What was read at once from one source.
#[derive(Debug)]
struct Chunk {
    /// The sink that said it, which does not hear itself.
    from: Option<u64>,
    /// Position behind its last byte.
    end: u64,
    /// Sinks that have yet to take it. Invariant: at least 1 for the oldest chunk.
    wanted: usize,
}

/// How far one sink has come. Only for the backlog that gave it.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The sink's own name among the sources.
    sink: u64,
    /// Number of the next chunk. It may be one that is gone: then that was the sink's own, as all up to the oldest.
    chunk: u64,
    /// Position of the next byte: inside that chunk, or at its beginning.
    at: u64,
}

impl Backlog {
    /// A cursor for a sink that hears everything from now on, but for what comes from `sink` itself.
    pub(super) fn subscribe(&mut self, sink: u64) -> Cursor {
        self.sinks += 1;
        Cursor { sink, chunk: self.first + self.chunks.len() as u64, at: self.end() }
    }

    /// Takes a sink out; what waited for it alone is forgotten.
    pub(super) fn unsubscribe(&mut self, cursor: Cursor) {
        self.sinks -= 1;
        let skipped = cursor.chunk.saturating_sub(self.first) as usize;
        for chunk in self.chunks.iter_mut().skip(skipped).filter(|chunk| chunk.from != Some(cursor.sink)) {
            chunk.wanted -= 1;
        }
        self.forget();
    }

    /// Sinks there are.
    pub(super) fn sinks(&self) -> usize {
        self.sinks
    }

    /// True if there is room for another [`CHUNK`].
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() + CHUNK <= MOST && self.chunks.len() < MOST_CHUNKS
    }

    /// Adds what `from` said, which is `None` for who is no sink. With nobody to hear it, it is dropped.
    pub(super) fn push(&mut self, from: Option<&Cursor>, bytes: &[u8]) {
        let wanted = self.sinks - usize::from(from.is_some());
        if wanted == 0 || bytes.is_empty() {
            return;
        }
        self.bytes.extend(bytes);
        self.chunks.push_back(Chunk { from: from.map(|cursor| cursor.sink), end: self.end(), wanted });
    }

    /// What a sink should take next, as much of it as lies in one piece; empty when it has caught up.
    pub(super) fn next(&self, cursor: &mut Cursor) -> &[u8] {
        (cursor.chunk, cursor.at) = (cursor.chunk.max(self.first), cursor.at.max(self.start));
        while let Some(own) = self.chunks.get((cursor.chunk - self.first) as usize)
            && own.from == Some(cursor.sink)
        {
            (cursor.chunk, cursor.at) = (cursor.chunk + 1, own.end);
        }
        let ahead = self.chunks.iter().skip((cursor.chunk - self.first) as usize).take(PIECE);
        let end = ahead.take_while(|chunk| chunk.from != Some(cursor.sink)).last().map_or(cursor.at, |chunk| chunk.end);
        let (from, to) = ((cursor.at - self.start) as usize, (end - self.start) as usize);
        let (old, new) = self.bytes.as_slices();
        match from < old.len() {
            true => &old[from..to.min(old.len())],
            false => &new[from - old.len()..to - old.len()],
        }
    }

    /// A sink has taken the first `count` bytes of [`Backlog::next`].
    pub(super) fn advance(&mut self, cursor: &mut Cursor, count: usize) {
        cursor.at += count as u64;
        while let Some(chunk) = self.chunks.get_mut((cursor.chunk - self.first) as usize)
            && chunk.end <= cursor.at
        {
            cursor.chunk += 1;
            chunk.wanted -= 1;
        }
        self.forget();
    }

    /// True for a sink that keeps the oldest chunk from going.
    pub(super) fn is_last(&self, cursor: &Cursor) -> bool {
        cursor.chunk <= self.first && self.chunks.front().is_some_and(|chunk| chunk.from != Some(cursor.sink))
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Lets the oldest chunks go that everybody has taken.
    fn forget(&mut self) {
        while let Some(chunk) = self.chunks.pop_front_if(|chunk| chunk.wanted == 0) {
            self.bytes.drain(..(chunk.end - self.start) as usize);
            self.start = chunk.end;
            self.first += 1;
        }
        if self.bytes.is_empty() && self.bytes.capacity() > CHUNK {
            // after a flood the memory goes back
            self.bytes.shrink_to(CHUNK);
            self.chunks.shrink_to(CHUNK / size_of::<Chunk>());
        }
    }
}

/// The most that is pushed at once.
pub(super) const CHUNK: usize = 64 * 1024;

/// Chunks that are looked at for one piece.
const PIECE: usize = 256;

/// Bytes that the slowest sink may be behind.
pub(super) const MOST: usize = 1 << 20;

/// Chunks that it may be behind, so that a flood of single bytes costs no more than one of large reads.
const MOST_CHUNKS: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sink with what it ought to hear and what it heard.
    struct Listener {
        cursor: Cursor,
        due: Vec<u8>,
        heard: Vec<u8>,
    }

    impl Listener {
        fn new(backlog: &mut Backlog, sink: u64) -> Self {
            Listener { cursor: backlog.subscribe(sink), due: vec![], heard: vec![] }
        }

        fn take(&mut self, backlog: &mut Backlog, most: usize) -> usize {
            let piece = backlog.next(&mut self.cursor);
            let count = piece.len().min(most);
            self.heard.extend(&piece[..count]);
            backlog.advance(&mut self.cursor, count);
            count
        }
    }

    proptest! {
        #[test]
        fn every_sink_hears_everybody_else_in_one_order_and_nothing_is_kept_longer(
            steps in proptest::collection::vec((0u8..6, any::<u8>(), 1usize..40), 1..400),
        ) {
            let mut backlog = Backlog::default();
            let (mut sinks, mut names, mut byte) = (Vec::<Listener>::new(), 0, 0u8);
            for (what, which, count) in steps {
                let index = usize::from(which) % sinks.len().max(1);
                match what {
                    0 => {
                        names += 1;
                        sinks.push(Listener::new(&mut backlog, names));
                    }
                    1 if !sinks.is_empty() && count < 10 => backlog.unsubscribe(sinks.swap_remove(index).cursor),
                    2 | 3 => {
                        let bytes: Vec<u8> = (0..count).map(|i| byte.wrapping_add(i as u8)).collect();
                        byte = byte.wrapping_add(count as u8);
                        let from = (what == 3 && !sinks.is_empty()).then_some(index);
                        backlog.push(from.map(|from| &sinks[from].cursor), &bytes);
                        for (_, sink) in sinks.iter_mut().enumerate().filter(|(i, _)| Some(*i) != from) {
                            sink.due.extend(&bytes);
                        }
                    }
                    _ if !sinks.is_empty() => {
                        sinks[index].take(&mut backlog, count);
                    }
                    _ => {}
                }
                let behind = sinks.iter().map(|sink| sink.due.len() - sink.heard.len()).max().unwrap_or(0);
                prop_assert!(backlog.len() == 0 || behind > 0, "kept for nobody");
                prop_assert_eq!(backlog.len() > 0, sinks.iter().any(|sink| backlog.is_last(&sink.cursor)));
            }
            for sink in &mut sinks {
                while sink.take(&mut backlog, 7) > 0 {}
                prop_assert_eq!(&sink.heard, &sink.due);
            }
            prop_assert_eq!(backlog.len(), 0);
        }
    }

    // The bound holds for large and for tiny chunks.
    #[test]
    fn a_sink_that_takes_nothing_fills_the_backlog_and_no_more() {
        for size in [1, CHUNK] {
            let mut backlog = Backlog::default();
            let cursor = backlog.subscribe(1);
            let mut pushed = 0;
            while backlog.has_room() {
                backlog.push(None, &vec![7; size]);
                pushed += 1;
            }
            assert_eq!(pushed, if size == 1 { MOST_CHUNKS } else { MOST / CHUNK });
            assert!(backlog.len() <= MOST);
            backlog.unsubscribe(cursor);
            assert_eq!(backlog.len(), 0);
            assert!(backlog.bytes.capacity() <= CHUNK);
        }
    }

    #[test]
    fn what_nobody_hears_is_not_kept() {
        let mut backlog = Backlog::default();
        backlog.push(None, b"to nobody");
        let alone = backlog.subscribe(1);
        backlog.push(Some(&alone), b"to oneself");
        assert_eq!(backlog.len(), 0);
    }
}
