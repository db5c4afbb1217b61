//! What contention does to a lock: a small plot for each measurement, a line for each system.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{LINES, WIDTH};
use crate::contention::Contention;
use crate::report::{Entry, duration};

const HEIGHT: u32 = 900;

/// Rows and columns of plots; the last place is the legend's.
const GRID: (usize, usize) = (4, 2);

/// One plot.
struct Figure {
    title: &'static str,
    value: fn(&Contention) -> f64,
    label: fn(f64) -> String,
    /// A logarithmic axis; others begin at zero.
    is_logarithmic: bool,
    /// Where the axis ends at least.
    highest_min: f64,
}

const FIGURES: [Figure; 7] = [
    Figure {
        title: "turns a second",
        value: |cost| cost.throughput,
        label: count,
        is_logarithmic: true,
        highest_min: 0.0,
    },
    Figure {
        title: "share of their time that they wait",
        value: |cost| cost.waiting * 100.0,
        label: |percent| format!("{percent:.0} %"),
        is_logarithmic: false,
        highest_min: 100.0,
    },
    Figure {
        title: "wait: half are shorter",
        value: |cost| cost.p50,
        label: duration,
        is_logarithmic: true,
        highest_min: 0.0,
    },
    Figure {
        title: "wait: 95 % are shorter",
        value: |cost| cost.p95,
        label: duration,
        is_logarithmic: true,
        highest_min: 0.0,
    },
    Figure {
        title: "wait: 99 % are shorter",
        value: |cost| cost.p99,
        label: duration,
        is_logarithmic: true,
        highest_min: 0.0,
    },
    Figure {
        title: "cycles a turn",
        value: |cost| cost.cycles,
        label: count,
        is_logarithmic: true,
        highest_min: 0.0,
    },
    Figure {
        title: "allocations a turn",
        value: |cost| cost.allocations,
        label: |number| format!("{number:.1}"),
        is_logarithmic: false,
        highest_min: 1.0,
    },
];

/// A system's name, and its measurement for each number of contenders.
type Line<'a> = (&'a str, Vec<(f64, Contention)>);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws all plots.
pub(super) fn plot(entry: &Entry) -> Result<String, Box<dyn Error>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for one in &entry.systems {
        let (Some(contenders), Some(cost)) = (one.workers, one.contention) else { continue };
        let point = (contenders as f64, cost);
        match lines.iter_mut().find(|(name, _)| *name == one.system) {
            Some((_, points)) => points.push(point),
            None => lines.push((&one.system, vec![point])),
        }
    }
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let places = area.split_evenly(GRID);
        for (place, figure) in places.iter().zip(&FIGURES) {
            draw(place, figure, &lines)?;
        }
        legend(&places[FIGURES.len()], &lines)?;
        area.present()?;
    }
    Ok(svg)
}

fn draw(place: &Area<'_>, figure: &Figure, lines: &[Line<'_>]) -> Result<(), Box<dyn Error>> {
    let costs = || lines.iter().flat_map(|(_, points)| points);
    // A logarithm wants more than nothing.
    let lowest = if figure.is_logarithmic { 1e-9 } else { 0.0 };
    let values = costs().map(|(_, cost)| (figure.value)(cost).max(lowest));
    let (low, high) = values.fold((f64::MAX, figure.highest_min), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let widest = costs().map(|(contenders, _)| *contenders).fold(2.0, f64::max);
    let counts: Vec<f64> =
        (1..).map(|power| 2_f64.powi(power)).take_while(|n| *n <= widest).collect();
    let horizontal = (1.8..widest * 1.1).log_scale().with_key_points(counts);
    let mut builder = ChartBuilder::on(place);
    builder
        .margin(8)
        .caption(figure.title, ("sans-serif", 14))
        .x_label_area_size(25)
        .y_label_area_size(70);
    macro_rules! draw_on {
        ($vertical:expr) => {{
            let mut chart = builder.build_cartesian_2d(horizontal, $vertical)?;
            chart
                .configure_mesh()
                .x_label_formatter(&|contenders| format!("{contenders:.0}"))
                .y_labels(6)
                .y_label_formatter(&|value| (figure.label)(*value))
                .light_line_style(WHITE)
                .label_style(("sans-serif", 12))
                .draw()?;
            // Ours last, on top.
            for ((_, points), color) in lines.iter().zip(LINES).rev() {
                let at = |(contenders, cost): &(f64, Contention)| {
                    (*contenders, (figure.value)(cost).max(lowest))
                };
                let line = points.iter().map(at);
                chart.draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))?;
                chart.draw_series(line.map(|point| Circle::new(point, 3, color.filled())))?;
            }
        }};
    }
    if figure.is_logarithmic {
        let (low, high) = (low * 0.8, high * 1.25);
        draw_on!((low..high).log_scale().with_key_points(round_numbers(low, high)));
    } else {
        draw_on!(0.0..high * 1.05);
    }
    Ok(())
}

fn legend(place: &Area<'_>, lines: &[Line<'_>]) -> Result<(), Box<dyn Error>> {
    let (left, mut top) = (80, 40);
    let font = ("sans-serif", 14).into_font();
    for ((name, _), color) in lines.iter().zip(LINES) {
        let mark = [(left, top), (left + 24, top)];
        place.draw(&PathElement::new(mark, color.stroke_width(2)))?;
        place.draw(&Circle::new((left + 12, top), 3, color.filled()))?;
        place.draw(&Text::new((*name).to_owned(), (left + 34, top - 7), font.clone()))?;
        top += 24;
    }
    let text = "horizontal: contenders";
    place.draw(&Text::new(text, (left, top), font))?;
    Ok(())
}

/// Returns the numbers in the range that begin with 1, 2 or 5 and go on with zeros; of more than a
/// few decades, powers of ten.
fn round_numbers(low: f64, high: f64) -> Vec<f64> {
    let firsts: &[f64] = if high / low > 100.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let numbers = decades.flat_map(|power| firsts.iter().map(move |n| n * 10_f64.powi(power)));
    numbers.filter(|number| (low..high).contains(number)).collect()
}

fn count(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.1} million", n / 1e6),
        n if n >= 1e4 => format!("{:.0} 000", n / 1e3),
        n => format!("{n:.0}"),
    }
}
