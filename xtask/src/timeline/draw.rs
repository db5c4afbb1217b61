//! The picture: a heading, a legend, and two charts with a lane for each worker.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use svg::Document;
use svg::node::element::{Group, Path, Rectangle, Text, Title};

use super::model::{Lane, Range, Segment, Timeline, What};

const WIDTH: f64 = 1600.0;
/// Where the charts begin and end.
const LEFT: f64 = 150.0;
const RIGHT: f64 = WIDTH - 30.0;
const PLOT: f64 = RIGHT - LEFT;

const TEXT: &str = "#1b1f24";
const FAINT: &str = "#57606a";
const GRID: &str = "#d0d7de";
const PARKED: &str = "#dfe3e8";
const BLOCKED: &str = "#3a3f46";
const STEAL: &str = "#b3261e";
const WAIT: &str = "#57606a";
const OTHER: &str = "#8c959f";

/// Told apart also by those who see fewer colours (Okabe and Ito).
const SITES: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

/// Colours on which white is easier to read than black.
const DARK: [&str; 4] = ["#0072b2", "#009e73", "#d55e00", BLOCKED];

/// How much of its colour a span has in which a job goes on after a wait.
const PALE: f64 = 0.62;

/// Columns of all lanes together, at most, so that the file stays small.
const COLUMNS_MAX: usize = 6_000;
/// Spans that a lane of the lower chart shows, about.
const SPANS: f64 = 70.0;

/// Draws everything.
pub(super) fn document(timeline: &Timeline) -> Document {
    let lane_height = (440.0 / timeline.lanes.len() as f64).clamp(14.0, 72.0);
    let window = busy_window(timeline);
    let mut page = Page { content: Group::new(), y: 0.0 };
    heading(&mut page, timeline);
    legend(&mut page, timeline);

    page.y += 34.0;
    page.caption("The whole run: a column's colours are its shares of the time");
    let whole = Chart { range: timeline.range, top: page.y, lane_height, page: &mut page };
    whole.overview(timeline, &window);

    page.y += 40.0;
    page.caption(&format!(
        "The {} at the bracket: every span, paler where a job goes on after a wait",
        duration(window.len())
    ));
    let part = Chart { range: window, top: page.y, lane_height, page: &mut page };
    part.detail(timeline);

    let height = page.y + 24.0;
    let background = Rectangle::new().set("width", WIDTH).set("height", height).set("fill", "#fff");
    Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("font-family", "system-ui, sans-serif")
        .set("font-size", 14)
        .set("fill", TEXT)
        .add(background)
        .add(page.content)
}

/// What has been drawn so far, and how far down.
struct Page {
    content: Group,
    y: f64,
}

impl Page {
    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        let content = std::mem::replace(&mut self.content, Group::new());
        self.content = content.add(node);
    }

    fn text(&mut self, x: f64, y: f64, text: &str) {
        self.add(label(x, y, text));
    }

    fn caption(&mut self, text: &str) {
        let y = self.y;
        self.add(label(LEFT, y, text).set("font-weight", 600));
        self.y += 14.0;
    }
}

fn label(x: f64, y: f64, text: &str) -> Text {
    Text::new(text).set("x", round(x)).set("y", round(y))
}

fn heading(page: &mut Page, timeline: &Timeline) {
    let (jobs, workers) = (timeline.job_count(), timeline.lanes.len());
    let (jobs, workers) = (counted(jobs, "job"), counted(workers, "worker"));
    let title = format!("{jobs} on {workers} in {}", duration(timeline.range.len()));
    page.add(label(LEFT, 42.0, &title).set("font-size", 24).set("font-weight", 600));
    let steals = counted(timeline.steal_count(), "steal");
    let mut more = format!("{steals}, {}", counted(timeline.suspension_count, "suspension"));
    if timeline.dropped_count != 0 {
        let dropped = timeline.dropped_count;
        write!(more, "; {dropped} later events had no room and are not shown")
            .expect("a string takes all");
    }
    page.add(label(LEFT, 66.0, &more).set("fill", FAINT));
    page.y = 96.0;
}

fn legend(page: &mut Page, timeline: &Timeline) {
    let mut entries: Vec<(&str, String)> = Vec::new();
    let (named, others) = timeline.sites.split_at(timeline.sites.len().min(SITES.len()));
    for (site, color) in named.iter().zip(SITES) {
        let (jobs, time) = (counted(site.job_count, "job"), duration(site.time));
        entries.push((color, format!("{}: {jobs}, {time}", site.name)));
    }
    if !others.is_empty() {
        let jobs = counted(others.iter().map(|site| site.job_count).sum(), "job");
        entries.push((OTHER, format!("{}: {jobs}", counted(others.len(), "other place"))));
    }
    let does = |what| move |segment: &Segment| segment.what == what;
    let segments = || timeline.lanes.iter().flat_map(|lane| &lane.segments);
    if segments().any(does(What::Blocked)) {
        entries.push((BLOCKED, "blocks its thread".to_owned()));
    }
    entries.push((PARKED, "parked".to_owned()));
    entries.push(("#fff", "between jobs".to_owned()));
    entries.push((STEAL, "steal".to_owned()));
    entries.push((WAIT, "wait".to_owned()));

    let mut x = LEFT;
    for (color, text) in entries {
        let width = (48.0 + 7.6 * text.chars().count() as f64).round();
        if x + width > RIGHT + 20.0 {
            x = LEFT;
            page.y += 26.0;
        }
        let y = page.y;
        if color == STEAL {
            page.add(Path::new().set("d", triangle(x + 7.0, y - 11.0, 6.0)).set("fill", color));
        } else if color == WAIT {
            let arc = format!("M{x} {}c0 12 14 12 14 0", y - 9.0);
            let arc = Path::new().set("d", arc).set("fill", "none");
            page.add(arc.set("stroke", color).set("stroke-width", 1.2));
        } else {
            let swatch = Rectangle::new().set("x", x).set("y", y - 12.0).set("fill", color);
            page.add(swatch.set("width", 14).set("height", 14).set("stroke", GRID));
        }
        page.text(x + 22.0, y, &text);
        x += width;
    }
}

/// A time axis over lanes.
struct Chart<'a> {
    range: Range,
    top: f64,
    lane_height: f64,
    page: &'a mut Page,
}

impl Chart<'_> {
    /// Draws shares of time by column, and where the other chart's window lies.
    fn overview(mut self, timeline: &Timeline, window: &Range) {
        self.frame(timeline);
        let columns = (COLUMNS_MAX / timeline.lanes.len()).clamp(100, PLOT as usize);
        for (index, lane) in timeline.lanes.iter().enumerate() {
            let y = self.lane_y(index);
            let shares = Shares::of(lane, &self.range, columns);
            for (color, path) in shares.paths(y, self.lane_height) {
                self.page.add(Path::new().set("fill", color).set("d", path));
            }
            self.steals(lane, y, 3.0);
        }
        let bottom = self.lane_y(timeline.lanes.len()) - self.lane_gap() + 4.0;
        let (from, to) = (self.x(window.begin), self.x(window.end).max(self.x(window.begin) + 3.0));
        let bracket = format!("M{from:.1} {bottom:.1}v8H{to:.1}v-8");
        let stroke = Path::new().set("d", bracket).set("fill", "none").set("stroke", TEXT);
        self.page.add(stroke.set("stroke-width", 2));
        self.axis(bottom + 14.0);
    }

    /// Draws each span by itself.
    fn detail(mut self, timeline: &Timeline) {
        self.frame(timeline);
        for (index, lane) in timeline.lanes.iter().enumerate() {
            let y = self.lane_y(index);
            let mut spans = Group::new();
            for segment in &lane.segments {
                if let Some(range) = segment.range.intersect(&self.range) {
                    spans = spans.add(self.span(timeline, segment, range, y));
                }
            }
            self.page.add(spans);
            self.names(timeline, lane, y);
            self.waits(lane, y);
            self.steals(lane, y, 5.0);
        }
        let bottom = self.lane_y(timeline.lanes.len());
        self.axis(bottom);
    }

    /// Draws the lanes' names and grounds.
    fn frame(&mut self, timeline: &Timeline) {
        for (index, lane) in timeline.lanes.iter().enumerate() {
            let (y, height) = (self.lane_y(index), self.lane_height);
            let middle = y + height / 2.0 + 5.0;
            self.page.add(label(LEFT - 12.0, middle, &lane.name).set("text-anchor", "end"));
            let ground = Rectangle::new().set("x", LEFT).set("y", round(y)).set("width", PLOT);
            self.page
                .add(ground.set("height", round(height)).set("fill", "#fff").set("stroke", GRID));
        }
    }

    fn span(&self, timeline: &Timeline, segment: &Segment, range: Range, y: f64) -> Rectangle {
        let name = match segment.what {
            What::Job(site) => &timeline.sites[site].name,
            What::Blocked => "blocks its thread",
            What::Parked => "parked",
        };
        let hover = format!("{name}, {}", duration(segment.range.len()));
        let (from, to) = (self.x(range.begin), self.x(range.end));
        Rectangle::new()
            .set("x", round(from))
            .set("y", round(y))
            .set("width", round((to - from - 0.6).max(1.0)))
            .set("height", round(self.lane_height))
            .set("fill", color(segment.what))
            .set("fill-opacity", if segment.goes_on { PALE } else { 1.0 })
            .add(Title::new(hover))
    }

    /// Writes into the spans that have room what they are.
    fn names(&mut self, timeline: &Timeline, lane: &Lane, y: f64) {
        for segment in &lane.segments {
            let Some(range) = segment.range.intersect(&self.range) else { continue };
            let name = match segment.what {
                What::Job(site) => timeline.sites[site].name.as_str(),
                What::Blocked => "blocked",
                What::Parked => "parked",
            };
            let (from, to) = (self.x(range.begin), self.x(range.end));
            if to - from > 8.0 * name.chars().count() as f64 {
                let is_dark = !segment.goes_on && DARK.contains(&color(segment.what));
                let ink = if is_dark { "#fff" } else { TEXT };
                let text = label((from + to) / 2.0, y + self.lane_height / 2.0 + 5.0, name);
                self.page.add(text.set("text-anchor", "middle").set("fill", ink));
            }
        }
    }

    /// Draws an arc below the lane from each suspension to its resumption.
    fn waits(&mut self, lane: &Lane, y: f64) {
        let bottom = y + self.lane_height;
        let mut arcs = String::new();
        for wait in &lane.waits {
            if wait.begin < self.range.begin || wait.end > self.range.end {
                continue;
            }
            let (from, to) = (self.x(wait.begin), self.x(wait.end));
            let depth = (3.0 + (to - from) / 20.0).min(self.lane_gap() * 0.55);
            write!(
                arcs,
                "M{from:.1} {bottom:.1}C{from:.1} {low:.1} {to:.1} {low:.1} {to:.1} {bottom:.1}",
                low = bottom + depth * 1.33
            )
            .expect("a string takes all");
        }
        let path = Path::new().set("d", arcs).set("fill", "none").set("stroke", WAIT);
        self.page.add(path.set("stroke-width", 0.8).set("stroke-opacity", 0.7));
    }

    /// Draws a mark above the lane for each steal, where there is room for each.
    fn steals(&mut self, lane: &Lane, y: f64, size: f64) {
        let mut path = String::new();
        let mut free_from = f64::MIN;
        for at in lane.steals.iter().filter(|at| (self.range.begin..=self.range.end).contains(at)) {
            let x = self.x(*at);
            if x >= free_from {
                path += &triangle(x, y - size * 1.6, size);
                free_from = x + size;
            }
        }
        self.page.add(Path::new().set("d", path).set("fill", STEAL));
    }

    /// Draws the axis, and leaves the page below it.
    fn axis(&mut self, y: f64) {
        let step = nice_step(self.range.len() / 8.0);
        let mut ticks = String::new();
        for index in 0..=((self.range.len() / step) as u32) {
            let time = f64::from(index) * step;
            let x = self.x(self.range.begin + time);
            write!(ticks, "M{x:.1} {y:.1}v6").expect("a string takes all");
            let text = label(x, y + 22.0, &duration(time)).set("text-anchor", "middle");
            self.page.add(text.set("fill", FAINT));
        }
        self.page.add(Path::new().set("d", ticks).set("stroke", FAINT));
        self.page.y = y + 22.0;
    }

    /// Returns where a lane begins; there is room for marks above it.
    fn lane_y(&self, index: usize) -> f64 {
        self.top + 14.0 + index as f64 * (self.lane_height + self.lane_gap())
    }

    fn lane_gap(&self) -> f64 {
        (self.lane_height / 2.5).clamp(9.0, 28.0)
    }

    fn x(&self, time: f64) -> f64 {
        LEFT + (time - self.range.begin) / self.range.len() * PLOT
    }
}

/// How the time of each column is shared out.
struct Shares {
    /// By colour, in the order in which they are stacked.
    columns: Vec<BTreeMap<usize, f64>>,
}

/// The colours of a stack, from below.
const STACK: [&str; SITES.len() + 3] = {
    let mut stack = [OTHER; SITES.len() + 3];
    let mut index = 0;
    while index < SITES.len() {
        stack[index] = SITES[index];
        index += 1;
    }
    stack[SITES.len() + 1] = BLOCKED;
    stack[SITES.len() + 2] = PARKED;
    stack
};

impl Shares {
    fn of(lane: &Lane, range: &Range, count: usize) -> Self {
        let mut columns = vec![BTreeMap::new(); count];
        let width = range.len() / count as f64;
        for segment in &lane.segments {
            let Some(part) = segment.range.intersect(range) else { continue };
            let place = stack_place(segment.what);
            let first = ((part.begin - range.begin) / width) as usize;
            for (index, column) in columns.iter_mut().enumerate().skip(first) {
                let begin = range.begin + index as f64 * width;
                let Some(here) = part.intersect(&Range { begin, end: begin + width }) else {
                    break;
                };
                *column.entry(place).or_insert(0.0) += here.len() / width;
            }
        }
        Shares { columns }
    }

    /// Returns a path for each colour: boxes, those of equal columns side by side in one.
    fn paths(&self, y: f64, height: f64) -> Vec<(&'static str, String)> {
        let width = PLOT / self.columns.len() as f64;
        let mut paths = Vec::new();
        for (place, color) in STACK.iter().enumerate() {
            let mut path = String::new();
            // The box that is still open: its first column, top and bottom.
            let mut open: Option<(usize, [i64; 2])> = None;
            for index in 0..=self.columns.len() {
                let column = self.columns.get(index);
                let now = column.and_then(|column| edges(column, place, height));
                if open.map(|(_, edges)| edges) == now {
                    continue;
                }
                if let Some((first, [below, above])) = open {
                    let (x, wide) = (LEFT + first as f64 * width, (index - first) as f64 * width);
                    let (bottom, tall) = (y + height - below as f64, above - below);
                    write!(path, "M{x:.1} {bottom:.1}v{}h{wide:.1}v{tall}z", -tall)
                        .expect("a string takes all");
                }
                open = now.map(|edges| (index, edges));
            }
            if !path.is_empty() {
                paths.push((*color, path));
            }
        }
        paths
    }
}

/// Returns where a colour's box begins and ends above the lane's bottom, in whole pixels.
fn edges(column: &BTreeMap<usize, f64>, place: usize, height: f64) -> Option<[i64; 2]> {
    let below: f64 = column.range(..place).map(|(_, share)| share).sum();
    let share = column.get(&place)?;
    let [low, high] = [below, below + share].map(|part| (part * height).round() as i64);
    (low < high).then_some([low, high])
}

fn stack_place(what: What) -> usize {
    match what {
        What::Job(site) => site.min(SITES.len()),
        What::Blocked => SITES.len() + 1,
        What::Parked => SITES.len() + 2,
    }
}

fn color(what: What) -> &'static str {
    STACK[stack_place(what)]
}

/// Returns a part of the run that shows much, and not too much of it.
fn busy_window(timeline: &Timeline) -> Range {
    let whole = timeline.range;
    let spans = timeline.lanes.iter().map(|lane| lane.segments.len()).max().unwrap_or(0);
    let count = (spans as f64 / SPANS).clamp(1.0, 100_000.0) as usize;
    let length = whole.len() / count as f64;
    let place = |at: f64| (((at - whole.begin) / length).max(0.0) as usize).min(count - 1);

    #[derive(Clone, Default)]
    struct Window {
        spans: usize,
        steals_and_waits: usize,
        kinds: HashSet<What>,
    }
    let mut windows = vec![Window::default(); count];
    for lane in &timeline.lanes {
        for segment in &lane.segments {
            let window = &mut windows[place(segment.range.end)];
            window.spans += 1;
            window.kinds.insert(segment.what);
        }
        for wait in lane.waits.iter().filter(|wait| place(wait.begin) == place(wait.end)) {
            windows[place(wait.begin)].steals_and_waits += 1;
        }
        lane.steals.iter().for_each(|at| windows[place(*at)].steals_and_waits += 1);
    }
    let spans_max = 2.0 * SPANS * timeline.lanes.len() as f64;
    let legible = windows.iter().enumerate().filter(|(_, one)| (one.spans as f64) <= spans_max);
    let best = legible.max_by_key(|(_, one)| (one.kinds.len(), one.steals_and_waits));
    let begin = whole.begin + best.map_or(0, |(index, _)| index) as f64 * length;
    Range { begin, end: begin + length }
}

/// A mark that points down.
fn triangle(x: f64, y: f64, size: f64) -> String {
    format!("M{:.1} {y:.1}h{:.1}l{:.1} {:.1}z", x - size, 2.0 * size, -size, size * 1.5)
}

/// Returns 1, 2 or 5 times a power of ten, not below `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= least);
    step.unwrap_or(10.0) * power
}

/// Returns a time, given in microseconds, in a fitting unit.
fn duration(us: f64) -> String {
    let (value, unit) = match us {
        0.0 => return "0".to_owned(),
        ..1.0 => (us * 1000.0, "ns"),
        ..1000.0 => (us, "µs"),
        ..1_000_000.0 => (us / 1000.0, "ms"),
        _ => (us / 1_000_000.0, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Returns a number with its digits in groups of three.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let times = [(0.0, "0"), (0.25, "250 ns"), (1.5, "1.5 µs"), (12.34, "12.3 µs")];
        for (us, text) in times.into_iter().chain([(4e5, "400 ms"), (2e6, "2 s")]) {
            assert_eq!(duration(us), text);
        }
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn ticks_are_round_numbers() {
        for (least, step) in [(0.7, 1.0), (1.0, 1.0), (1.1, 2.0), (30.0, 50.0), (51.0, 100.0)] {
            assert!((nice_step(least) - step).abs() < 1e-9, "{least}");
        }
    }

    #[test]
    fn a_columns_colours_are_its_shares_of_the_time() {
        let range = |begin, end| Range { begin, end };
        let segment = |what, begin, end| Segment { what, range: range(begin, end), goes_on: false };
        let segments = vec![
            segment(What::Job(0), 0.0, 1.5),
            segment(What::Parked, 1.5, 1.75),
            segment(What::Job(9), 3.0, 4.0),
        ];
        let lane = Lane { segments, ..Lane::default() };
        let shares = Shares::of(&lane, &range(0.0, 4.0), 4);
        let (parked, other) = (stack_place(What::Parked), SITES.len());
        let expected = [vec![(0, 1.0)], vec![(0, 0.5), (parked, 0.25)], vec![], vec![(other, 1.0)]];
        for (column, expected) in shares.columns.iter().zip(expected) {
            assert_eq!(
                column.iter().map(|(at, share)| (*at, *share)).collect::<Vec<_>>(),
                expected
            );
        }
        let boxes = |color: &str| {
            let paths = shares.paths(0.0, 100.0);
            paths.into_iter().find(|(of, _)| *of == color).map(|(_, path)| path)
        };
        let quarter = PLOT / 4.0;
        let full = format!("M{LEFT:.1} 100.0v-100h{quarter:.1}v100z");
        let half = format!("M{:.1} 100.0v-50h{quarter:.1}v50z", LEFT + quarter);
        assert_eq!(boxes(SITES[0]).unwrap(), full + &half);
        assert!(boxes(PARKED).unwrap().contains(" 50.0v-25"));
        assert!(boxes(BLOCKED).is_none());
    }
}
