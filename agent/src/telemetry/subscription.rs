//! What a viewer has of one view or one thing in detail, and what is new to it.

use plasmon_protocol::error::Error;
use plasmon_protocol::stream::{Detail, MAX_FRAME};
use plasmon_protocol::window::{Payload, Print, Prints, Query, Rendered, Sent, Window};

use crate::telemetry::frame;

/// A view that a viewer watches.
pub struct ViewState {
    query: Query,
    sent: Sent,
    /// Rows were left out because the viewer has as many as it may.
    lacks_rows: bool,
}

impl ViewState {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(query: Query) -> Self {
        Self { query, sent: Sent::default(), lacks_rows: false }
    }

    /// What it watches.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What the viewer must be sent so that it has `window`; nothing when it has that already. From then on it counts as sent.
    ///
    /// # Errors
    /// [`Error::Encode`], which no row can bring about by its values.
    pub fn update(&mut self, id: u32, window: &Window) -> Result<Option<Payload>, Error> {
        self.sent.update(id, window, &self.query, MAX_FRAME)
    }

    /// The same for a window that was written before, of at most so many rows.
    ///
    /// # Errors
    /// See [`ViewState::update`].
    pub fn bring_up(&mut self, id: u32, rendered: &Rendered, most: usize) -> Result<Option<Payload>, Error> {
        self.lacks_rows = rendered.rows() > most;
        self.sent.bring_up(id, rendered, MAX_FRAME, most)
    }

    /// Whether the last window had more rows than there was room for.
    #[must_use]
    pub fn lacks_rows(&self) -> bool {
        self.lacks_rows
    }

    /// How many rows the viewer has of it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sent.rows()
    }
}

/// One thing that a viewer watches in detail.
#[derive(Default)]
pub struct WatchState {
    prints: Prints,
    sent: Option<Print>,
}

impl WatchState {
    /// The frame that brings the viewer up to `detail`; nothing when it has that already. From then on it counts as sent.
    ///
    /// # Errors
    /// [`Error::Encode`], which no row can bring about by its values.
    pub fn update(&mut self, id: u32, detail: Option<&Detail>) -> Result<Option<Payload>, Error> {
        let payload = frame::detail(id, detail)?;
        let print = self.prints.of(&payload.frame(0, 0, 0));
        Ok((self.sent.replace(print) != Some(print)).then_some(payload))
    }
}
