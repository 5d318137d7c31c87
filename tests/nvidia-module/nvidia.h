/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A stand-in for the NVIDIA driver: its devices, the names of its functions and the structures of its ioctls. Of the
 * GPU, it simulates only the amount of free memory. Tests use it to send CUDA's requests to a kernel without a GPU.
 *
 * Like the driver, it consists of two modules: nvidia, and nvidia-uvm, which may be loaded later. nvidia is built twice,
 * because names of functions changed with 545.23.06 (FRONTEND); each build supports only releases with its names.
 *
 * Layouts are those of the open kernel modules 535 to 595 (nvos.h, nv-ioctl.h, uvm_ioctl.h). They are declared
 * independently of the agent's, so that tests notice a mistake in either of them.
 *
 * Callers may be hostile: every size is bounded, every structure is copied once, and no value of theirs is used as a
 * kernel address.
 */
#ifndef GLASSBOX_NVIDIA_H
#define GLASSBOX_NVIDIA_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/poll.h>
#include <linux/types.h>

/* nvstatuscodes.h */
#define STATUS_OK 0x00u
#define STATUS_INSERT_DUPLICATE_NAME 0x19u
#define STATUS_INSUFFICIENT_RESOURCES 0x1Au
#define STATUS_INVALID_ADDRESS 0x1Eu
#define STATUS_NO_MEMORY 0x51u
#define STATUS_NOT_SUPPORTED 0x56u

/* A release as one number: 580.65.06 is 580065006. */
#define RELEASE(major, minor, patch) ((major) * 1000000u + (minor) * 1000u + (patch))

/* The first release with the current function names. */
#define FIRST_WITHOUT_FRONTEND RELEASE(545, 23, 6)

/* The release that determines the layouts. Exported to nvidia-uvm, together with the function that sleeps. */
extern unsigned int stand_in_release;
/* Size of the GPU memory in bytes. */
u64 stand_in_memory_bytes(void);
/* Sleeps for the configured duration of an ioctl. */
void stand_in_wait(void);

#define NO_STATUS (~0u)

/* One form of a request's structure on /dev/nvidiactl and /dev/nvidiaN. */
struct form {
	unsigned int number;
	unsigned int size;
	unsigned int status;
	/* The releases that have it: from the first one, before the second one. */
	unsigned int since;
	unsigned int until;
};

/* The form for a number and a size in this release; NULL if there is none. */
const struct form *form_of_escape(unsigned int number, unsigned int size);

/* GPU memory that an open file holds. Callers must serialize their calls. */
struct holdings {
	struct list_head objects;
	unsigned int count;
};

void memory_begin(struct holdings *holdings);
/* Allocates memory under a handle and sets the bytes to the granted size. */
u32 memory_allocate(struct holdings *holdings, u32 client, u32 handle, u64 *bytes);
/* Frees an object, or all objects of a client if the object is the client. Ignores objects without memory. */
void memory_free(struct holdings *holdings, u32 client, u32 handle);
void memory_end(struct holdings *holdings);

/* Whether a device is ready. */
__poll_t nvidia_poll(struct file *file, poll_table *table);
/* Makes all devices not ready. */
void stand_in_poll_stop(void);

extern const struct file_operations nvidia_fops;
extern const struct file_operations uvm_fops;
extern const struct file_operations uvm_tools_fops;

#endif
