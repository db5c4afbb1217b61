//! What a trace tells, by worker.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use crate::Result;

/// Everything that is drawn. Times are in microseconds.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Where jobs were submitted: the places with the most time first.
    pub(super) sites: Vec<Site>,
    pub(super) lanes: Vec<Lane>,
    /// From the first job's begin to the last one's end.
    pub(super) range: Range,
    pub(super) suspension_count: usize,
    pub(super) dropped_count: u64,
}

/// A place in the source, and the jobs that were submitted there.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Site {
    pub(super) name: String,
    pub(super) job_count: usize,
    pub(super) time: f64,
}

/// One worker.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) name: String,
    /// In order, without overlaps: what it did, the innermost where spans nest.
    pub(super) segments: Vec<Segment>,
    pub(super) steals: Vec<f64>,
    /// From a job's suspension to its resumption.
    pub(super) waits: Vec<Range>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Range {
    pub(super) begin: f64,
    pub(super) end: f64,
}

impl Range {
    pub(super) fn len(&self) -> f64 {
        self.end - self.begin
    }

    /// Returns the part that lies in both.
    pub(super) fn intersect(&self, other: &Range) -> Option<Range> {
        let (begin, end) = (self.begin.max(other.begin), self.end.min(other.end));
        (begin < end).then_some(Range { begin, end })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) what: What,
    pub(super) range: Range,
    /// Whether its job had suspended before.
    pub(super) goes_on: bool,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// It runs a job of this site.
    Job(usize),
    /// Its job blocks the thread.
    Blocked,
    Parked,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
    #[serde(rename = "otherData")]
    about: About,
}

#[derive(Deserialize)]
struct About {
    dropped_events: Vec<u64>,
}

#[derive(Deserialize)]
struct Event {
    name: String,
    ph: String,
    ts: f64,
    tid: u64,
    #[serde(default)]
    cat: String,
    #[serde(default)]
    id: u64,
    #[serde(default)]
    args: Args,
}

#[derive(Default, Deserialize)]
struct Args {
    name: Option<String>,
    job: Option<String>,
}

/// One lane while it is read.
#[derive(Default)]
struct LaneReader {
    lane: Lane,
    /// The spans that have begun, the innermost last, and whether they go on after a wait.
    open: Vec<(What, bool)>,
    /// When the last of them began or ended.
    since: f64,
}

impl LaneReader {
    /// Ends the segment of the innermost span, which another begins or ends.
    fn cut(&mut self, at: f64) {
        if let Some(&(what, goes_on)) = self.open.last()
            && at > self.since
        {
            let range = Range { begin: self.since, end: at };
            self.lane.segments.push(Segment { what, range, goes_on });
        }
        self.since = at;
    }
}

/// Everything while it is read.
#[derive(Default)]
struct Reader {
    lanes: BTreeMap<u64, LaneReader>,
    sites: Vec<Site>,
    indices: HashMap<String, usize>,
    jobs: HashSet<String>,
    flows: HashMap<u64, f64>,
    range: Option<Range>,
    suspension_count: usize,
}

impl Timeline {
    pub(super) fn read(json: &str) -> Result<Self> {
        let file: File = serde_json::from_str(json)?;
        let mut reader = Reader::default();
        for event in file.events {
            reader.add(event)?;
        }
        let range = reader.range.ok_or("the trace holds no job")?;
        let lanes = reader.lanes.into_values().map(|reader| reader.lane).collect();
        let timeline = Timeline {
            sites: reader.sites,
            lanes,
            range,
            suspension_count: reader.suspension_count,
            dropped_count: file.about.dropped_events.iter().sum(),
        };
        Ok(timeline.with_sites_by_time())
    }

    pub(super) fn job_count(&self) -> usize {
        self.sites.iter().map(|site| site.job_count).sum()
    }

    pub(super) fn steal_count(&self) -> usize {
        self.lanes.iter().map(|lane| lane.steals.len()).sum()
    }

    fn with_sites_by_time(mut self) -> Self {
        let jobs = self.lanes.iter().flat_map(|lane| &lane.segments);
        for segment in jobs {
            if let What::Job(site) = segment.what {
                self.sites[site].time += segment.range.len();
            }
        }
        let mut order: Vec<usize> = (0..self.sites.len()).collect();
        order.sort_by(|a, b| self.sites[*b].time.total_cmp(&self.sites[*a].time));
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, site)| rank[*site] = at);
        for segment in self.lanes.iter_mut().flat_map(|lane| &mut lane.segments) {
            if let What::Job(site) = &mut segment.what {
                *site = rank[*site];
            }
        }
        self.sites = order.iter().map(|site| std::mem::take(&mut self.sites[*site])).collect();
        self
    }
}

impl Reader {
    fn add(&mut self, event: Event) -> Result<()> {
        if event.ph == "M" {
            if let ("thread_name", Some(name)) = (event.name.as_str(), event.args.name) {
                self.lanes.entry(event.tid).or_default().lane.name = name;
            }
            return Ok(());
        }
        let span = self.span(&event);
        let reader = self.lanes.get_mut(&event.tid).ok_or("an event of an unnamed thread")?;
        match event.ph.as_str() {
            "B" => {
                reader.cut(event.ts);
                reader.open.push(span);
            }
            "E" => {
                reader.cut(event.ts);
                reader.open.pop();
            }
            "i" if event.cat == "steal" => reader.lane.steals.push(event.ts),
            "s" => {
                self.suspension_count += 1;
                self.flows.insert(event.id, event.ts);
            }
            "f" => {
                let begin = self.flows.remove(&event.id).ok_or("a flow from nowhere")?;
                reader.lane.waits.push(Range { begin, end: event.ts });
            }
            _ => {}
        }
        if event.cat == "job" {
            let range = self.range.get_or_insert(Range { begin: event.ts, end: event.ts });
            range.begin = range.begin.min(event.ts);
            range.end = range.end.max(event.ts);
        }
        Ok(())
    }

    /// Returns what a span shows, and whether it goes on with a job that was seen before.
    fn span(&mut self, event: &Event) -> (What, bool) {
        match event.cat.as_str() {
            "job" => {
                let next = self.indices.len();
                let site = *self.indices.entry(event.name.clone()).or_insert(next);
                if site == next {
                    self.sites.push(Site { name: event.name.clone(), ..Site::default() });
                }
                let job = event.args.job.as_ref();
                let is_new = job.is_some_and(|job| self.jobs.insert(job.clone()));
                self.sites[site].job_count += usize::from(is_new);
                (What::Job(site), !is_new)
            }
            "blocked" => (What::Blocked, false),
            _ => (What::Parked, false),
        }
    }
}
