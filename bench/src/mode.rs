//! How the receivers wait.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Spinning,
    Blocking,
}

pub(crate) const MODES: [Mode; 2] = [Mode::Spinning, Mode::Blocking];

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spinning => "spinning",
            Self::Blocking => "blocking",
        }
    }

    /// As whoever polls for so long waits.
    pub(crate) fn of(spin_us: u64) -> Self {
        if spin_us > 0 { Self::Spinning } else { Self::Blocking }
    }
}
