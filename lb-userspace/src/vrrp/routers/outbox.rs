//! Outputs that come from no single machine, never more than a fixed number.

use std::collections::VecDeque;

use crate::vrrp::Output;

/// So many changes of groups wait; of more, the oldest is dropped.
const CHANGES: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    outputs: VecDeque<Output>,
}

impl Outbox {
    pub(super) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The last priority of a router stands for those before.
    pub(super) fn push(&mut self, output: Output) {
        if let Output::Priority { router, .. } = &output {
            self.outputs
                .retain(|other| !matches!(other, Output::Priority { router: of, .. } if of == router));
        } else {
            self.make_room();
        }
        self.outputs.push_back(output);
    }

    fn make_room(&mut self) {
        let is_change = |output: &Output| matches!(output, Output::GroupChanged { .. });
        if self.outputs.iter().filter(|output| is_change(output)).count() >= CHANGES
            && let Some(oldest) = self.outputs.iter().position(is_change)
        {
            self.outputs.remove(oldest);
        }
    }
}
