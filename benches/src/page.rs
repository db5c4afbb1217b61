//! The report as one HTML page with a plot for each workload; it needs no other file.

use std::error::Error;
use std::fmt::Write;

use plotters::prelude::*;

use crate::paired::Measured;
use crate::report::{Entry, Machine, Report, duration};

/// A plot's size in pixels: so wide, so high for each system, and so high beside.
const WIDTH: u32 = 760;
const ROW: u32 = 34;
const FRAME: u32 = 60;

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const THEIRS: RGBColor = RGBColor(0xb8, 0xc4, 0xce);

const STYLE: &str = "\
body { font: 16px sans-serif; max-width: 800px; margin: 2em auto; color: #222 }
h2 { margin: 2em 0 0 }
p { margin: 0.3em 0 }
";

/// Returns the page.
///
/// # Errors
///
/// When a plot cannot be drawn.
pub fn html(report: &Report) -> Result<String, Box<dyn Error>> {
    let Machine { cpus, processor, target } = &report.machine;
    let (workers, rounds) = (report.workers, report.rounds);
    let processor = escape(processor);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Benchmarks</title><style>{STYLE}</style></head><body>\n\
         <h1>Benchmarks</h1>\n\
         <p>{processor}, {cpus} CPUs, {target}; {workers} workers, {rounds} rounds, the systems in \
         turn. Bars are median times, shorter is better; the line at a bar's end is the 95 % \
         interval of the median; in brackets, the ratio to rustfiber.</p>\n"
    );
    for entry in &report.entries {
        let (name, about) = (escape(entry.workload), escape(entry.about));
        write!(page, "<h2>{name}</h2>\n<p>{about}</p>\n{}\n", plot(entry)?)?;
    }
    page.push_str("</body></html>\n");
    Ok(page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Draws a bar for each system, ours on top.
fn plot(entry: &Entry) -> Result<String, Box<dyn Error>> {
    let systems = &entry.systems;
    let longest = systems.iter().map(|one| one.seconds.high).fold(0.0, f64::max);
    let mut svg = String::new();
    let height = FRAME + ROW * u32::try_from(systems.len())?;
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let rows = systems.len() as f64;
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .margin_right(90)
            .x_label_area_size(30)
            .y_label_area_size(100)
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

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

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
        &(EmptyElement::at((0.0, middle)) + Text::new(one.system, (-90, -7), font.clone())),
    )?;
    let label = format!("{} ({:.2})", duration(median), one.ratio.median);
    chart
        .plotting_area()
        .draw(&(EmptyElement::at((high, middle)) + Text::new(label, (6, -7), font)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired::Estimate;

    #[test]
    fn the_page_has_a_plot_for_each_workload_and_needs_nothing_else() {
        let estimate = |median| Estimate { median, low: median * 0.9, high: median * 1.1 };
        let measured = |system, median| Measured {
            system,
            seconds: estimate(median),
            ratio: estimate(median / 0.002),
        };
        let entry = |workload| Entry {
            workload,
            about: "a < b",
            systems: vec![measured("ours", 0.002), measured("theirs", 0.004)],
        };
        let machine = Machine { cpus: 2, processor: "P".into(), target: "t".into() };
        let entries = vec![entry("one"), entry("two")];
        let page = html(&Report { machine, workers: 2, rounds: 7, entries }).unwrap();
        assert_eq!(page.matches("<svg").count(), 2);
        assert_eq!(page.matches("theirs").count(), 2);
        assert!(page.contains("4.00 ms (2.00)") && page.contains("a &lt; b"));
        for outside in ["<script", "<link", "src=", "href=", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
