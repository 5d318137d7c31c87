// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Module init and exit, parameters, device numbers, and the release in /proc/driver. */

#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "nvidia.h"

/* nv-chardev-numbers.h */
#define MAJOR_NUMBER 195
#define GPU_MINORS 248
#define CTL_MINOR 255

#define LATENCY_LIMIT_US 1000000u
#define MEMORY_LIMIT_MIB (1u << 20)

static unsigned int memory_mib = 1024;
module_param(memory_mib, uint, 0644);
MODULE_PARM_DESC(memory_mib, "GPU memory in MiB");

static unsigned int latency_us;
module_param(latency_us, uint, 0644);
MODULE_PARM_DESC(latency_us, "minimum duration of every ioctl, in us");

#ifdef FRONTEND
#define HAS_FRONTEND true
static char *release = "535.104.05";
#else
#define HAS_FRONTEND false
static char *release = "580.65.06";
#endif
module_param(release, charp, 0444);
MODULE_PARM_DESC(release, "release that determines the layouts");

unsigned int stand_in_release;
EXPORT_SYMBOL_GPL(stand_in_release);

static struct proc_dir_entry *directory;

u64 stand_in_memory_bytes(void)
{
	return (u64)min(READ_ONCE(memory_mib), MEMORY_LIMIT_MIB) << 20;
}

void stand_in_wait(void)
{
	unsigned int us = min(READ_ONCE(latency_us), LATENCY_LIMIT_US);

	if (us)
		usleep_range(us, us + us / 8 + 1);
}
EXPORT_SYMBOL_GPL(stand_in_wait);

static int version_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  %s  Release Build  (glassbox's stand-in)\n",
		   release);
	return 0;
}

#ifdef FRONTEND
/* One region for all devices. */
static int register_devices(void)
{
	return __register_chrdev(MAJOR_NUMBER, 0, CTL_MINOR + 1, "nvidia-frontend", &nvidia_fops);
}

static void unregister_devices(void)
{
	__unregister_chrdev(MAJOR_NUMBER, 0, CTL_MINOR + 1, "nvidia-frontend");
}
#else
static int register_devices(void)
{
	int error = __register_chrdev(MAJOR_NUMBER, 0, GPU_MINORS, "nvidia", &nvidia_fops);

	if (error < 0)
		return error;
	error = __register_chrdev(MAJOR_NUMBER, CTL_MINOR, 1, "nvidiactl", &nvidia_fops);
	if (error < 0)
		__unregister_chrdev(MAJOR_NUMBER, 0, GPU_MINORS, "nvidia");
	return error;
}

static void unregister_devices(void)
{
	__unregister_chrdev(MAJOR_NUMBER, CTL_MINOR, 1, "nvidiactl");
	__unregister_chrdev(MAJOR_NUMBER, 0, GPU_MINORS, "nvidia");
}
#endif

static int __init stand_in_init(void)
{
	unsigned int major, minor, patch;
	int error;

	if (sscanf(release, "%3u.%3u.%3u", &major, &minor, &patch) != 3)
		return -EINVAL;
	stand_in_release = RELEASE(major, minor, patch);
	if ((stand_in_release < FIRST_WITHOUT_FRONTEND) != HAS_FRONTEND)
		return -EINVAL;

	directory = proc_mkdir("driver/nvidia", NULL);
	if (!directory)
		return -ENOMEM;
	if (!proc_create_single("version", 0444, directory, version_show)) {
		error = -ENOMEM;
		goto remove_directory;
	}
	error = register_devices();
	if (error < 0)
		goto remove_directory;
	return 0;

remove_directory:
	proc_remove(directory);
	stand_in_poll_stop();
	return error;
}

static void __exit stand_in_exit(void)
{
	unregister_devices();
	proc_remove(directory);
	stand_in_poll_stop();
}

module_init(stand_in_init);
module_exit(stand_in_exit);
MODULE_DESCRIPTION("glassbox's stand-in for the NVIDIA driver, for tests");
MODULE_LICENSE("Dual MIT/GPL");
