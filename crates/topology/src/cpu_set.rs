//! A growable set of logical CPUs, and the text forms that Linux uses for it.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

const WORD_BITS: usize = u64::BITS as usize;

/// Holds a set of logical CPUs, numbered as the operating system numbers them.
///
/// Sets grow as needed up to [`CpuSet::CPU_MAX`]; two sets are equal when they hold the same
/// CPUs, however they were built. The text form, in both directions, is the list that Linux
/// prints: `0-3,8`.
///
/// # Examples
///
/// ```
/// use topology::CpuSet;
///
/// let set: CpuSet = "0-3,8".parse()?;
/// assert!(set.contains(8));
/// assert_eq!(set.len(), 5);
/// assert_eq!(set.intersection(&CpuSet::from([2, 3, 4])).to_string(), "2-3");
/// # Ok::<(), topology::ParseCpuSetError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct CpuSet {
    /// Bit `n % 64` of word `n / 64` is CPU `n`. The last word is never zero, so that equality
    /// and hashing see only content.
    words: Vec<u64>,
}

impl CpuSet {
    /// The largest CPU number a set can hold; a bound on what damaged input can make us allocate
    /// (8 KiB), eight times above what Linux can be built for.
    pub const CPU_MAX: usize = 65_535;

    /// Creates an empty set; allocates nothing.
    #[must_use]
    pub const fn new() -> CpuSet {
        CpuSet { words: Vec::new() }
    }

    /// Adds `cpu`; returns whether it was absent.
    ///
    /// # Panics
    ///
    /// When `cpu` is above [`CpuSet::CPU_MAX`].
    pub fn insert(&mut self, cpu: usize) -> bool {
        assert!(cpu <= Self::CPU_MAX, "CPU number {cpu} is above the maximum {}", Self::CPU_MAX);
        let (word, bit) = (cpu / WORD_BITS, 1 << (cpu % WORD_BITS));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let absent = self.words[word] & bit == 0;
        self.words[word] |= bit;
        absent
    }

    /// Removes `cpu`; returns whether it was present.
    pub fn remove(&mut self, cpu: usize) -> bool {
        let present = self.contains(cpu);
        if present {
            self.words[cpu / WORD_BITS] &= !(1 << (cpu % WORD_BITS));
            self.trim();
        }
        present
    }

    /// Returns whether the set holds `cpu`.
    #[must_use]
    pub fn contains(&self, cpu: usize) -> bool {
        self.words.get(cpu / WORD_BITS).is_some_and(|word| word & (1 << (cpu % WORD_BITS)) != 0)
    }

    /// Returns how many CPUs the set holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns whether the set holds no CPU.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Returns the lowest CPU, or `None` when the set is empty.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// Returns the highest CPU, or `None` when the set is empty.
    #[must_use]
    pub fn last(&self) -> Option<usize> {
        let word = self.words.last()?;
        Some(self.words.len() * WORD_BITS - 1 - word.leading_zeros() as usize)
    }

    /// Iterates over the CPUs in ascending order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.words, word: 0, base: 0 }
    }

    /// Returns the CPUs that are in `self`, in `other`, or in both.
    #[must_use]
    pub fn union(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |a, b| a | b)
    }

    /// Returns the CPUs that are in both `self` and `other`.
    #[must_use]
    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |a, b| a & b)
    }

    /// Returns the CPUs that are in `self` but not in `other`.
    #[must_use]
    pub fn difference(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |a, b| a & !b)
    }

    /// Returns whether every CPU of `self` is in `other`; true for the empty set.
    #[must_use]
    pub fn is_subset(&self, other: &CpuSet) -> bool {
        (0..self.words.len()).all(|index| self.words[index] & !other.word(index) == 0)
    }

    /// Returns whether `self` and `other` have no CPU in common; true for the empty set.
    #[must_use]
    pub fn is_disjoint(&self, other: &CpuSet) -> bool {
        self.words.iter().zip(&other.words).all(|(a, b)| a & b == 0)
    }

    /// Parses the other form that Linux prints, groups of 32 bits in hexadecimal, highest first:
    /// `00000000,0000ffff`.
    pub(crate) fn parse_mask(text: &str) -> Result<CpuSet, ParseCpuSetError> {
        let error = |reason| ParseCpuSetError { text: text.to_owned(), reason };
        let mut set = CpuSet::new();
        for (index, group) in text.trim().rsplit(',').enumerate() {
            let digits = group.bytes().all(|byte| byte.is_ascii_hexdigit());
            let bits = u32::from_str_radix(group, 16).ok().filter(|_| digits);
            let bits = bits.ok_or_else(|| error(Reason::NotAMask))?;
            for bit in (0..32).filter(|bit| bits & (1 << bit) != 0) {
                let cpu = index * 32 + bit;
                if cpu > Self::CPU_MAX {
                    return Err(error(Reason::TooLarge));
                }
                set.insert(cpu);
            }
        }
        Ok(set)
    }

    fn combine(&self, other: &CpuSet, operation: impl Fn(u64, u64) -> u64) -> CpuSet {
        let length = self.words.len().max(other.words.len());
        let words = (0..length).map(|index| operation(self.word(index), other.word(index)));
        let mut set = CpuSet { words: words.collect() };
        set.trim();
        set
    }

    fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

/// Iterates over the CPUs of a [`CpuSet`] in ascending order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    /// Words not yet begun.
    rest: &'a [u64],
    /// What is left of the word begun last.
    word: u64,
    /// The CPU of bit 0 of the first word in `rest`.
    base: usize,
}

impl Iterator for Iter<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            let (first, rest) = self.rest.split_first()?;
            self.word = *first;
            self.rest = rest;
            self.base += WORD_BITS;
        }
        let bit = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.base - WORD_BITS + bit)
    }
}

impl<'a> IntoIterator for &'a CpuSet {
    type Item = usize;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Extend<usize> for CpuSet {
    /// Adds every CPU of `cpus`.
    ///
    /// # Panics
    ///
    /// When a CPU is above [`CpuSet::CPU_MAX`].
    fn extend<I: IntoIterator<Item = usize>>(&mut self, cpus: I) {
        for cpu in cpus {
            self.insert(cpu);
        }
    }
}

impl FromIterator<usize> for CpuSet {
    /// Collects CPUs, in any order and also repeated.
    ///
    /// # Panics
    ///
    /// When a CPU is above [`CpuSet::CPU_MAX`].
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> CpuSet {
        let mut set = CpuSet::new();
        set.extend(cpus);
        set
    }
}

impl<const N: usize> From<[usize; N]> for CpuSet {
    /// Collects CPUs, in any order and also repeated.
    ///
    /// # Panics
    ///
    /// When a CPU is above [`CpuSet::CPU_MAX`].
    fn from(cpus: [usize; N]) -> CpuSet {
        cpus.into_iter().collect()
    }
}

impl FromStr for CpuSet {
    type Err = ParseCpuSetError;

    /// Parses a list such as `0-3,8`; space around it is ignored, the empty text is the empty set.
    ///
    /// # Errors
    ///
    /// When an item is neither a number nor an ascending range, or is above [`CpuSet::CPU_MAX`].
    fn from_str(text: &str) -> Result<CpuSet, ParseCpuSetError> {
        let error = |reason| ParseCpuSetError { text: text.to_owned(), reason };
        let list = text.trim();
        let mut set = CpuSet::new();
        if list.is_empty() {
            return Ok(set);
        }
        for item in list.split(',') {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let first = parse_cpu(first).map_err(error)?;
            let last = parse_cpu(last).map_err(error)?;
            if first > last {
                return Err(error(Reason::Descending));
            }
            set.extend(first..=last);
        }
        Ok(set)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if(|&next| next == last + 1) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

/// Reports a text that is not a CPU list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCpuSetError {
    text: String,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    NotANumber,
    NotAMask,
    Descending,
    TooLarge,
}

impl fmt::Display for ParseCpuSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = CpuSet::CPU_MAX;
        write!(f, "{:?} is not a CPU set: ", self.text)?;
        match self.reason {
            Reason::NotANumber => f.write_str("write numbers and ranges, such as \"0-3,8\""),
            Reason::NotAMask => f.write_str("write hexadecimal groups of 32 bits"),
            Reason::Descending => f.write_str("write ranges with the lower number first"),
            Reason::TooLarge => write!(f, "CPU numbers end at {max}"),
        }
    }
}

impl Error for ParseCpuSetError {}

fn parse_cpu(text: &str) -> Result<usize, Reason> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Reason::NotANumber); // `usize::from_str` would also accept a plus sign
    }
    text.parse().ok().filter(|&cpu| cpu <= CpuSet::CPU_MAX).ok_or(Reason::TooLarge)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A small generator (xorshift), enough for test data.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }

        /// A set of a random density, in both forms.
        fn set(&mut self) -> (CpuSet, BTreeSet<usize>) {
            let (count, limit) = (self.below(80), [8, 64, 65, 200, 3000][self.below(5)]);
            let cpus: Vec<usize> = (0..count).map(|_| self.below(limit)).collect();
            (cpus.iter().copied().collect(), cpus.into_iter().collect())
        }
    }

    fn assert_same(set: &CpuSet, oracle: &BTreeSet<usize>) {
        assert!(set.iter().eq(oracle.iter().copied()), "{set} is not {oracle:?}");
        assert_eq!(set.len(), oracle.len());
        assert_eq!(set.is_empty(), oracle.is_empty());
        assert_eq!(set.first(), oracle.first().copied());
        assert_eq!(set.last(), oracle.last().copied());
        assert_eq!(*set, oracle.iter().copied().collect::<CpuSet>(), "equality sees only content");
    }

    #[test]
    fn every_operation_agrees_with_an_ordinary_set() {
        let seed = 0x5eed_0001;
        println!("seed {seed:#x}");
        let mut random = Random(seed);
        for _ in 0..2000 {
            let ((a, oracle_a), (b, oracle_b)) = (random.set(), random.set());
            assert_same(&a.union(&b), &(&oracle_a | &oracle_b));
            assert_same(&a.intersection(&b), &(&oracle_a & &oracle_b));
            assert_same(&a.difference(&b), &(&oracle_a - &oracle_b));
            assert_eq!(a.is_subset(&b), oracle_a.is_subset(&oracle_b));
            assert!(a.intersection(&b).is_subset(&b));
            assert_eq!(a.is_disjoint(&b), oracle_a.is_disjoint(&oracle_b));
            assert_eq!(a == b, oracle_a == oracle_b);
        }
    }

    #[test]
    fn insert_and_remove_agree_with_an_ordinary_set() {
        let seed = 0x5eed_0002;
        println!("seed {seed:#x}");
        let mut random = Random(seed);
        let (mut set, mut oracle) = (CpuSet::new(), BTreeSet::new());
        for _ in 0..20_000 {
            let cpu = random.below(300);
            if random.below(2) == 0 {
                assert_eq!(set.insert(cpu), oracle.insert(cpu));
            } else {
                assert_eq!(set.remove(cpu), oracle.remove(&cpu));
            }
            assert_eq!(set.contains(cpu), oracle.contains(&cpu));
            assert_same(&set, &oracle);
        }
    }

    #[test]
    fn a_set_that_shrinks_equals_one_that_never_grew() {
        let mut set = CpuSet::from([1, 300]);
        assert!(set.remove(300));
        assert_eq!(set, CpuSet::from([1]));
        assert_eq!(set.last(), Some(1));
        assert!(set.remove(1) && set.is_empty() && set == CpuSet::new());
    }

    #[test]
    fn the_list_form_round_trips() {
        let seed = 0x5eed_0003;
        println!("seed {seed:#x}");
        let mut random = Random(seed);
        for _ in 0..2000 {
            let (set, _) = random.set();
            assert_eq!(set.to_string().parse::<CpuSet>(), Ok(set));
        }
    }

    #[test]
    fn the_list_form_is_the_one_linux_prints() {
        for text in ["", "0", "0-1", "0,2", "0-3,8", "1,3-5,64,127-200", "65535"] {
            assert_eq!(text.parse::<CpuSet>().unwrap().to_string(), text);
        }
        assert_eq!("0,1,2-3\n".parse::<CpuSet>().unwrap().to_string(), "0-3");
        assert_eq!(format!("{:?}", CpuSet::from([0, 1, 9])), "CpuSet(0-1,9)");
    }

    #[test]
    fn the_mask_form_reads_groups_from_the_highest_down() {
        let mask = |text| CpuSet::parse_mask(text).unwrap().to_string();
        assert_eq!(mask("00000000,0000ffff\n"), "0-15");
        assert_eq!(mask("00000001,00000000,80000001"), "0,31,64");
        assert_eq!(mask("00003"), "0-1");
        assert_eq!(mask("0"), "");
        for text in ["", "xyz", "+1", "1,,1", "fffffffff", "1 2"] {
            assert!(CpuSet::parse_mask(text).is_err(), "{text:?} was accepted");
        }
        let huge = format!("1{}", ",00000000".repeat(3000));
        assert!(CpuSet::parse_mask(&huge).is_err());
    }

    #[test]
    fn texts_that_are_no_list_are_refused_with_the_reason() {
        let message = |text: &str| text.parse::<CpuSet>().unwrap_err().to_string();
        for text in ["x", "1,", ",1", "1-", "-1", "1-2-3", "+1", "1 2", "0x1"] {
            assert!(message(text).contains("such as"), "{}", message(text));
        }
        assert!(message("3-1").contains("lower number first"));
        assert!(message("0-4294967295").contains("65535"));
        assert!(message("99999999999999999999999").contains("65535"));
    }

    #[test]
    #[should_panic(expected = "above the maximum 65535")]
    fn insert_panics_above_the_maximum() {
        CpuSet::new().insert(CpuSet::CPU_MAX + 1);
    }
}
