//! Many operations at random, on real threads, with an oracle.
#![cfg(all(not(loom), feature = "std"))]

mod lists;
mod wait_queue;

/// A small generator (SplitMix64), so that a failure can be replayed from the seed it prints.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn seed() -> u64 {
    let seed = std::env::var("STRESS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| std::process::id().into());
    println!("STRESS_SEED={seed}");
    seed
}
