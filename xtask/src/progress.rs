//! The status line of work that takes long. A terminal has one that is redrawn; elsewhere one is printed every ten
//! seconds.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

/// How often it is redrawn, and how often a caller should call [`Progress::show`].
pub(crate) const LIVE_INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// A status line.
pub(crate) struct Progress {
    is_live: bool,
    shown: Instant,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_live: stdout().is_terminal(), shown: Instant::now() }
    }

    /// Shows what `text` returns, if it is time to.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        let interval = if self.is_live { LIVE_INTERVAL } else { PLAIN_INTERVAL };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        if self.is_live {
            print!("\r\x1b[2K    {}", text());
            // Fails if the terminal has gone, and then nobody misses the line.
            let _ = stdout().flush();
        } else {
            println!("    {}", text());
        }
    }

    /// Removes the line before other output.
    pub(crate) fn clear(&self) {
        if self.is_live {
            print!("\r\x1b[2K");
        }
    }
}
