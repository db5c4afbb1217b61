//! How much faster more workers are: a line for each system.

use std::error::Error;

use plotters::prelude::*;

use super::{LINES, WIDTH};
use crate::paired::Measured;
use crate::report::Entry;

const HEIGHT: u32 = 320;

/// How far the horizontal axis goes beyond the last point, for the legend's sake.
const LEGEND: f64 = 1.25;

/// Draws, for each number of workers, how many times as fast each system is as ours is with the
/// fewest.
pub(super) fn plot(entry: &Entry) -> Result<String, Box<dyn Error>> {
    let mut names: Vec<&str> = entry.systems.iter().map(|one| one.system.as_str()).collect();
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    let base = entry.systems[0].seconds.median;
    let speed_up = |one: &Measured| (one.workers.unwrap_or(1), base / one.seconds.median);
    let highest = entry.systems.iter().map(|one| speed_up(one).1).fold(0.0, f64::max);
    let widest = entry.systems.iter().filter_map(|one| one.workers).max().unwrap_or(1);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(45)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..widest as f64 * LEGEND, 0.0..highest * 1.15)?;
        chart
            .configure_mesh()
            .x_desc("workers")
            .y_desc("times as fast as rustfiber with one")
            .x_labels(widest + 2)
            .x_label_formatter(&|workers| match *workers {
                workers if workers <= widest as f64 => format!("{workers:.0}"),
                _ => String::new(),
            })
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .draw()?;
        for (name, color) in names.into_iter().zip(LINES) {
            let own: Vec<(f64, f64)> = entry
                .systems
                .iter()
                .filter(|one| one.system == name)
                .map(speed_up)
                .map(|(workers, speed_up)| (workers as f64, speed_up))
                .collect();
            let mark = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2));
            chart
                .draw_series(LineSeries::new(own.clone(), color.stroke_width(2)))?
                .label(name)
                .legend(mark);
            let point = |at| Circle::new(at, 4, color.filled());
            chart.draw_series(own.into_iter().map(point))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 13))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
