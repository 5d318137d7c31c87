// SPDX-License-Identifier: GPL-2.0 OR MIT
/* /dev/nvidiactl and /dev/nvidiaN: requests with a size, a status in every structure, and limited memory. */

#include <linux/atomic.h>
#include <linux/compat.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "nvidia.h"

#define MAGIC 'F'
#define FREE 0x29
#define CONTROL 0x2A
#define ALLOC 0x2B
#define VID_HEAP_CONTROL 0x4A
#define XFER 0xD3

/* NV_ABSOLUTE_MAX_IOCTL_SIZE */
#define SIZE_LIMIT 16384u
#define CLASS_MEMORY_LOCAL_USER 0x40
/* The first handle that is chosen for a client, and the first one for an object. */
#define FIRST_CLIENT 0xC1D00001u
#define FIRST_OBJECT 0xCAFE0000u

#define HEAP_ALLOC_SIZE 2
#define HEAP_FREE 3
#define HEAP_INFO 5
#define HEAP_ALLOC_SIZE_RANGE 14
#define HEAP_FLAGS_VIRTUAL 0x00080000

/* Commands of RM_CONTROL that this GPU does not have: no C2C link, no NVLink, no peer, no memory encryption. */
static const u32 unsupported[] = {
	0x127, 0x13A, 0x2080182B, 0x20803001, 0x20803002, 0x20801358, 0x20801359,
};

/* An open file. */
struct session {
	struct mutex lock;
	struct holdings holdings;
	u32 next_handle;
};

/* Number of clients with a chosen handle, over all files. */
static atomic_t clients = ATOMIC_INIT(0);

static u32 word(const void *params, unsigned int at)
{
	u32 value;

	memcpy(&value, params + at, sizeof(value));
	return value;
}

static u64 long_word(const void *params, unsigned int at)
{
	u64 value;

	memcpy(&value, params + at, sizeof(value));
	return value;
}

static u32 fresh_handle(struct session *session, u32 handle)
{
	return handle ? handle : session->next_handle++;
}

static bool is_root(u32 class)
{
	return class == 0x00 || class == 0x01 || class == 0x41;
}

/*
 * RM_ALLOC: chooses a handle if the caller passes none. The size of memory is in a second structure, to which the
 * rounded size is written back.
 */
static u32 rm_alloc(struct session *session, void *params)
{
	u64 __user *size = (u64 __user *)(unsigned long)(long_word(params, 16) + 64);
	u32 client = word(params, 0), handle = word(params, 8), class = word(params, 12), status;
	u64 bytes;

	if (!is_root(class))
		handle = fresh_handle(session, handle);
	else if (!handle)
		handle = FIRST_CLIENT + (u32)atomic_fetch_inc(&clients) % 0x100000u;
	memcpy(params + 8, &handle, sizeof(handle));
	if (class != CLASS_MEMORY_LOCAL_USER)
		return STATUS_OK;
	if (copy_from_user(&bytes, size, sizeof(bytes)))
		return STATUS_INVALID_ADDRESS;
	status = memory_allocate(&session->holdings, client, handle, &bytes);
	if (status == STATUS_OK && copy_to_user(size, &bytes, sizeof(bytes))) {
		memory_free(&session->holdings, client, handle);
		return STATUS_INVALID_ADDRESS;
	}
	return status;
}

static u32 vid_heap_control(struct session *session, void *params)
{
	u32 function = word(params, 8), client = word(params, 0), handle = word(params, 44), status;
	unsigned int at = function == HEAP_ALLOC_SIZE ? 88 : 80;
	u64 bytes = long_word(params, at);

	switch (function) {
	case HEAP_ALLOC_SIZE:
	case HEAP_ALLOC_SIZE_RANGE:
		handle = fresh_handle(session, handle);
		memcpy(params + 44, &handle, sizeof(handle));
		/* An address range without memory, or memory of the host. */
		if (word(params, 52) & HEAP_FLAGS_VIRTUAL || (word(params, 56) >> 25 & 3))
			return STATUS_OK;
		status = memory_allocate(&session->holdings, client, handle, &bytes);
		memcpy(params + at, &bytes, sizeof(bytes));
		return status;
	case HEAP_FREE:
		memory_free(&session->holdings, client, handle);
		return STATUS_OK;
	case HEAP_INFO:
		bytes = stand_in_memory_bytes();
		memcpy(params + 24, &bytes, sizeof(bytes));
		return STATUS_OK;
	default:
		return STATUS_OK;
	}
}

static u32 control(u32 command)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (unsupported[i] == command)
			return STATUS_NOT_SUPPORTED;
	return STATUS_OK;
}

static u32 answer(struct session *session, unsigned int number, void *params)
{
	switch (number) {
	case ALLOC:
		return rm_alloc(session, params);
	case VID_HEAP_CONTROL:
		return vid_heap_control(session, params);
	case FREE:
		memory_free(&session->holdings, word(params, 0), word(params, 8));
		return STATUS_OK;
	case CONTROL:
		return control(word(params, 8));
	default:
		return STATUS_OK;
	}
}

static noinline long answer_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct session *session = file->private_data;
	unsigned int number = _IOC_NR(cmd), size = _IOC_SIZE(cmd);
	void __user *user = (void __user *)arg;
	const struct form *form;
	void *params;
	u32 status;
	long result = 0;

	stand_in_wait();
	if (_IOC_TYPE(cmd) != MAGIC)
		return -EINVAL;
	if (number == XFER) {
		/* Number, size and address of the inner structure. */
		struct { u32 number, size; u64 address; } wrapper;

		if (size != sizeof(wrapper))
			return -EINVAL;
		if (copy_from_user(&wrapper, user, sizeof(wrapper)))
			return -EFAULT;
		number = wrapper.number;
		size = wrapper.size;
		user = (void __user *)(unsigned long)wrapper.address;
	}
	form = form_of_escape(number, size);
	if (!form || !size || size > SIZE_LIMIT)
		return -EINVAL;
	params = memdup_user(user, size);
	if (IS_ERR(params))
		return PTR_ERR(params);
	mutex_lock(&session->lock);
	status = answer(session, number, params);
	mutex_unlock(&session->lock);
	if (form->status != NO_STATUS)
		memcpy(params + form->status, &status, sizeof(status));
	if (copy_to_user(user, params, size))
		result = -EFAULT;
	kfree(params);
	return result;
}

static int nvidia_open(struct inode *inode, struct file *file)
{
	struct session *session = kzalloc(sizeof(*session), GFP_KERNEL);

	if (!session)
		return -ENOMEM;
	mutex_init(&session->lock);
	memory_begin(&session->holdings);
	session->next_handle = FIRST_OBJECT;
	file->private_data = session;
	return 0;
}

static int nvidia_close(struct inode *inode, struct file *file)
{
	struct session *session = file->private_data;

	memory_end(&session->holdings);
	kfree(session);
	return 0;
}

#ifdef FRONTEND
noinline long nvidia_frontend_unlocked_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
noinline long nvidia_frontend_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

long nvidia_frontend_unlocked_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return answer_ioctl(file, cmd, arg);
}

/* Differs from the code above, because the compiler would merge identical functions. */
long nvidia_frontend_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return answer_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}

#define UNLOCKED_IOCTL nvidia_frontend_unlocked_ioctl
#define COMPAT_IOCTL nvidia_frontend_compat_ioctl
#else
noinline long nvidia_unlocked_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

long nvidia_unlocked_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return answer_ioctl(file, cmd, arg);
}

#define UNLOCKED_IOCTL nvidia_unlocked_ioctl
#define COMPAT_IOCTL nvidia_unlocked_ioctl
#endif

const struct file_operations nvidia_fops = {
	.owner = THIS_MODULE,
	.open = nvidia_open,
	.release = nvidia_close,
	.unlocked_ioctl = UNLOCKED_IOCTL,
	.compat_ioctl = COMPAT_IOCTL,
	.poll = nvidia_poll,
};
