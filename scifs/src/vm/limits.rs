//! Every bound of this folder, by name. Programs are strangers: none may take more than its share.

use std::time::Duration;

/// Attached processes of this node, children too. Each costs a descriptor.
pub(super) const PROCESSES_MAX: usize = 4096;

/// Conversations that have not ended.
pub(super) const CONNECTIONS_MAX: usize = 4096;

/// Of one user other than root.
pub(super) const CONNECTIONS_OF_A_USER_MAX: usize = 1024;

/// Tickets that have been given out and not been used.
pub(super) const TICKETS_MAX: usize = 4096;

/// Afterwards a ticket is worth nothing.
pub(super) const TICKET_FOR: Duration = Duration::from_secs(30);

/// Ranges that a process has mapped. As many mappings as the kernel lets it have by default.
pub(super) const RANGES_MAX: usize = 65_530;

/// Poisoned pages that are remembered for each process, to be made good when the file has grown.
pub(super) const POISONED_MAX: usize = 65_536;

/// Between two looks at who has ended and what can be made good again.
pub(super) const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// Poisoned pages of each process that are asked for at every look.
pub(super) const HEAL_PAGES_MAX: usize = 64;

/// Before something is tried again that depends on others.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// How long pages may be asked for in vain, before programs get an error.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long it is tried to keep a process from writing that goes on changing its mappings.
pub(super) const PROTECT_FOR: Duration = Duration::from_secs(1);

/// How long a file that has grown waits for its programs to see it.
pub(super) const GROW_FOR: Duration = Duration::from_secs(1);

/// Pages that are mapped by one call for a process that touches them in order.
pub(super) const RUN_PAGES_MAX: u32 = 64;

/// Packets read of one conversation before the next has its turn.
pub(super) const PACKETS_AT_ONCE: usize = 8;
