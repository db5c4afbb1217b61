//! How latencies are distributed: a line for each system.

use std::error::Error;

use plotters::prelude::*;

use super::{LINES, WIDTH};
use crate::report::{Entry, duration};

const HEIGHT: u32 = 300;

/// Points of a line, evenly spread over the percentiles.
const POINTS: usize = 200;

/// Draws, for each percentile, the latency within which so many lay, on a logarithmic axis.
pub(super) fn plot(entry: &Entry) -> Result<String, Box<dyn Error>> {
    let systems: Vec<_> = entry.systems.iter().filter(|one| !one.latencies.is_empty()).collect();
    let all = systems.iter().flat_map(|one| &one.latencies);
    let (shortest, longest) = all
        .fold((f64::MAX, 0.0_f64), |(low, high), latency| (low.min(*latency), high.max(*latency)));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .margin_right(25)
            .x_label_area_size(45)
            .y_label_area_size(90)
            .build_cartesian_2d(0.0..100.0, (shortest * 0.9..longest * 1.1).log_scale())?;
        chart
            .configure_mesh()
            .x_labels(11)
            .x_label_formatter(&|percent| format!("{percent:.0}"))
            .x_desc("% of the latencies lie below")
            .y_labels(8)
            .y_label_formatter(&|seconds| duration(*seconds))
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .draw()?;
        for (one, color) in systems.iter().zip(LINES) {
            let point = |step: usize| {
                let part = step as f64 / POINTS as f64;
                one.latency(part).map(|latency| (part * 100.0, latency))
            };
            let line = LineSeries::new((0..=POINTS).filter_map(point), color.stroke_width(2));
            let mark = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2));
            chart.draw_series(line)?.label(one.label()).legend(mark);
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 13))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
