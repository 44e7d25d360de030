//! Which GPUs there are: those that NVIDIA's driver shows, as far as `CUDA_VISIBLE_DEVICES` lets this process see them.

use std::path::Path;

/// By what names CUDA knows the GPUs that this process may use, in its order.
#[must_use]
pub fn visible() -> Vec<String> {
    visible_under(Path::new("/"), std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref())
}

fn visible_under(root: &Path, variable: Option<&str>) -> Vec<String> {
    let there = std::fs::read_dir(root.join("proc/driver/nvidia/gpus")).map_or(0, |gpus| gpus.flatten().count());
    match variable {
        None => (0..there).map(|gpu| gpu.to_string()).collect(),
        // CUDA looks at nothing behind the first name that it does not know.
        Some(names) => {
            names.split(',').map(str::trim).take_while(|name| !name.is_empty() && *name != "-1").take(there).map(str::to_owned).collect()
        }
    }
}

/// What a worker's `CUDA_VISIBLE_DEVICES` is to be for these of the node's GPUs.
#[must_use]
pub fn names(devices: &[u32], visible: &[String]) -> String {
    let name = |device: &u32| visible.get(*device as usize).cloned().unwrap_or_else(|| device.to_string());
    devices.iter().map(name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_those_of_the_driver_that_the_variable_allows() {
        let root = tempfile::tempdir().unwrap();
        assert!(visible_under(root.path(), None).is_empty());
        assert!(visible_under(root.path(), Some("0,1")).is_empty());
        for gpu in ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"] {
            std::fs::create_dir_all(root.path().join("proc/driver/nvidia/gpus").join(gpu)).unwrap();
        }
        assert_eq!(visible_under(root.path(), None), ["0", "1", "2"]);
        assert_eq!(visible_under(root.path(), Some("2, 1")), ["2", "1"]);
        assert_eq!(visible_under(root.path(), Some("0,-1,2")), ["0"]);
        assert!(visible_under(root.path(), Some("")).is_empty());
        assert_eq!(names(&[1, 2], &["2".to_owned(), "GPU-77".to_owned()]), "GPU-77,2");
    }
}
