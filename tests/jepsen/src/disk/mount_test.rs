//! The file system as programs see it, through the kernel. Without root or /dev/fuse there is nothing to test.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::mount::Mounted;
use super::volume::Failing;

struct Place {
    mounted: Mounted,
    data: PathBuf,
    _folder: tempfile::TempDir,
}

fn place() -> Option<Place> {
    let folder = tempfile::tempdir().expect("a directory");
    let data = folder.path().join("data");
    fs_err::create_dir(&data).expect("a directory");
    match Mounted::new(&data, &folder.path().join("disk")) {
        Ok(mounted) => Some(Place { mounted, data, _folder: folder }),
        Err(error) => {
            println!("SKIPPED: no FUSE here: {error}");
            None
        }
    }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    fn sync_names(&self) {
        fs_err::File::open(&self.data).and_then(|file| file.sync_all()).expect("a directory can be synced");
    }

    fn lose(&self) {
        self.mounted.volume.lose(None).expect("lost");
    }

    fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.path(name)).expect("it can be read")
    }
}

#[test]
fn a_program_finds_what_it_synced_after_a_power_cut() {
    let Some(place) = place() else { return };
    let mut file = fs_err::File::create(place.path("a")).expect("created");
    file.write_all(b"synced").and_then(|()| file.sync_data()).expect("written");
    fs_err::write(place.path("never"), "x").expect("written");
    place.sync_names();
    file.write_all(b" and not").expect("written");
    fs_err::rename(place.path("a"), place.path("b")).expect("renamed");
    drop(file);
    assert_eq!(place.read("b"), "synced and not");
    place.lose();
    assert_eq!((place.read("a"), place.read("never")), ("synced".to_owned(), String::new()));
    assert!(!place.path("b").exists());
}

#[test]
fn what_is_to_fail_fails_and_a_full_disk_takes_nothing() {
    let Some(place) = place() else { return };
    let volume = &place.mounted.volume;
    // The plain file: it tells the number of its error.
    let (mut file, _path) = fs_err::File::create(place.path("a")).expect("created").into_parts();
    let number = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    volume.fail(Failing { writes: true, ..Failing::default() });
    assert_eq!(number(file.write_all(b"x")), Some(5));
    volume.fail(Failing { syncs: true, ..Failing::default() });
    assert_eq!((number(file.write_all(b"x")), number(file.sync_all())), (None, Some(5)));
    volume.fail(Failing { reads: true, ..Failing::default() });
    assert!(fs_err::read(place.path("a")).is_err());
    volume.fail(Failing::default());
    volume.fill(0);
    assert_eq!(number(file.write_all(b"y")), Some(28));
    volume.free();
    assert_eq!(number(file.write_all(b"y")), None);
    assert_eq!(place.read("a"), "xy");
}

#[test]
fn a_stalled_sync_ends_with_the_stall_and_fails_with_the_power() {
    let Some(place) = place() else { return };
    let file = fs_err::File::create(place.path("a")).expect("created");
    let began = Instant::now();
    place.mounted.volume.stall(Duration::from_millis(300));
    file.sync_all().expect("in the end");
    assert!(began.elapsed() >= Duration::from_millis(300));
    place.mounted.volume.stall(Duration::from_secs(60));
    let syncing = std::thread::spawn(move || file.sync_all());
    std::thread::sleep(Duration::from_millis(100));
    place.lose();
    assert!(syncing.join().expect("no panic").is_err());
}

#[test]
fn rocksdb_lives_on_it_and_keeps_what_it_synced() {
    let Some(mut place) = place() else { return };
    let path = place.path("db");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let mut synced = rocksdb::WriteOptions::default();
    synced.set_sync(true);
    let open = || rocksdb::DB::open(&options, &path).expect("it opens");
    {
        let db = open();
        place.sync_names();
        (0..500_u32).for_each(|n| db.put(n.to_be_bytes(), vec![7; 1000]).expect("written"));
        db.flush().expect("flushed");
        db.put_opt(b"synced", b"1", &synced).expect("written");
        db.put(b"unsynced", b"1").expect("written");
        place.lose();
        // What it writes as it closes comes after the power cut; that goes as well.
    }
    place.lose();
    {
        let db = open();
        let has = |key: &[u8]| db.get(key).expect("it can be read").is_some();
        assert!((0..500_u32).all(|n| has(&n.to_be_bytes())) && has(b"synced"));
        assert!(!has(b"unsynced"));
        rocksdb::checkpoint::Checkpoint::new(&db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(place.path("copy")))
            .expect("hard links");
    }
    let copy = place.path("copy");
    place.mounted.take_down().expect("unmounted");
    let left = rocksdb::DB::open(&options, copy).expect("the files are left in the folder");
    assert!(left.get(b"synced").expect("it can be read").is_some());
}
