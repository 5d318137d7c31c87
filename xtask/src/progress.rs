//! Status line for long work: redrawn in place on a terminal, otherwise printed every ten seconds.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

/// Redraw interval on a terminal. Callers should call [`Progress::show`] at least this often.
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

    /// Shows the text if the interval has passed.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        let interval = if self.is_live { LIVE_INTERVAL } else { PLAIN_INTERVAL };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        if self.is_live {
            print!("\r\x1b[2K    {}", text());
            // An error means that the terminal is gone.
            let _ = stdout().flush();
        } else {
            println!("    {}", text());
        }
    }

    /// Erases the line. Needed before other output.
    pub(crate) fn clear(&self) {
        if self.is_live {
            print!("\r\x1b[2K");
        }
    }
}
