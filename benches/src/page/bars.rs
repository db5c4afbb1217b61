//! A bar for each system.

use std::error::Error;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::{OURS, THEIRS, WIDTH};
use crate::paired::Measured;
use crate::report::{Entry, duration};

/// Pixels for each bar, and for what is around them.
const ROW: u32 = 34;
const FRAME: u32 = 60;

/// Draws the bars, ours on top.
pub(super) fn plot(entry: &Entry) -> Result<String, Box<dyn Error>> {
    let systems = &entry.systems;
    let longest = systems.iter().map(|one| one.seconds.high).fold(0.0, f64::max);
    let mut svg = String::new();
    let height = FRAME + ROW * u32::try_from(systems.len())?;
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let rows = systems.len() as f64;
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .margin_right(100)
            .x_label_area_size(30)
            .y_label_area_size(130)
            .build_cartesian_2d(0.0..longest * 1.02, rows..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(6)
            .x_label_formatter(&|seconds| duration(*seconds))
            .light_line_style(WHITE)
            .draw()?;
        for (row, one) in systems.iter().enumerate() {
            bar(&mut chart, row as f64, one, if row == 0 { OURS } else { THEIRS })?;
        }
        area.present()?;
    }
    Ok(svg)
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn bar(
    chart: &mut Chart<'_, '_>,
    row: f64,
    one: &Measured,
    color: RGBColor,
) -> Result<(), Box<dyn Error>> {
    let (middle, median) = (row + 0.5, one.seconds.median);
    let (low, high) = (one.seconds.low, one.seconds.high);
    let font = ("sans-serif", 14).into_font();
    chart
        .draw_series([Rectangle::new([(0.0, row + 0.15), (median, row + 0.85)], color.filled())])?;
    chart
        .draw_series([PathElement::new([(low, middle), (high, middle)], BLACK.stroke_width(2))])?;
    chart.plotting_area().draw(
        &(EmptyElement::at((0.0, middle)) + Text::new(one.label(), (-135, -7), font.clone())),
    )?;
    let label = format!("{} ({:.2})", duration(median), one.ratio.median);
    chart
        .plotting_area()
        .draw(&(EmptyElement::at((high, middle)) + Text::new(label, (6, -7), font)))?;
    Ok(())
}
