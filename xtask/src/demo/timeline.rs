//! A trace as a picture: the whole run, each column of a lane shared out by time, and below it the
//! busiest part, span by span.

mod draw;
mod model;

use crate::Result;

use model::Timeline;

/// Draws a trace that the feature `trace` wrote, as an SVG file.
pub(super) fn render(json: &str) -> Result<String> {
    Ok(draw::document(&Timeline::read(json)?).to_string())
}
