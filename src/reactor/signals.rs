//! Signals as events: a self-pipe in the poll, and who wants to hear of them.

use std::io;

use mio::{Interest, Registry, Token};

use super::TaskId;
use crate::sys;

/// The signals that this reactor listens for.
#[derive(Default)]
pub(super) struct Signals {
    source: Option<signal_hook_mio::v1_0::Signals>,
    listeners: Vec<TaskId>,
    /// Whom which of them end, as bits `1 << number`.
    ends: Vec<(TaskId, u64)>,
}

impl Signals {
    /// Starts to listen for `numbers` on behalf of `task`.
    pub(super) fn add(
        &mut self,
        registry: Option<&Registry>,
        token: Token,
        numbers: &[i32],
        task: TaskId,
    ) -> io::Result<()> {
        let wanted = numbers.iter().copied().filter(|number| !sys::is_signal_ignored(*number));
        match &self.source {
            Some(source) => {
                for number in wanted {
                    source.add_signal(number)?;
                }
            }
            None => {
                let mut source = signal_hook_mio::v1_0::Signals::new(wanted)?;
                if let Some(registry) = registry {
                    registry.register(&mut source, token, Interest::READABLE)?;
                }
                self.source = Some(source);
            }
        }
        if !self.listeners.contains(&task) {
            self.listeners.push(task);
        }
        Ok(())
    }

    /// Tells `task` no more: it is over.
    pub(super) fn forget(&mut self, task: TaskId) {
        self.listeners.retain(|known| *known != task);
        self.ends.retain(|(known, _)| *known != task);
    }

    /// Remembers that these end `task`.
    pub(super) fn end(&mut self, task: TaskId, numbers: &[i32]) {
        self.ends.push((task, numbers.iter().fold(0, |set, number| set | 1 << number)));
    }

    /// What ends `task`, as bits; 0 where it has not said.
    pub(super) fn that_end(&self, task: TaskId) -> u64 {
        self.ends.iter().find(|(known, _)| *known == task).map_or(0, |(_, set)| *set)
    }

    /// What arrived, as bits `1 << number`, and whom it concerns.
    pub(super) fn take(&mut self) -> (u64, Vec<TaskId>) {
        let set = match &mut self.source {
            Some(source) => source.pending().fold(0, |set, number| set | 1 << number),
            None => 0,
        };
        (set, self.listeners.clone())
    }
}
