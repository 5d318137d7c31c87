// SPDX-License-Identifier: GPL-2.0 OR MIT
/* /dev/nvidiactl and /dev/nvidiaN: requests with a size, a status in every structure, and memory that runs out. */

#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "nvidia.h"

#define MAGIC 'F'
#define ALLOC_MEMORY 0x27
#define FREE 0x29
#define CONTROL 0x2A
#define ALLOC 0x2B
#define VID_HEAP_CONTROL 0x4A
#define XFER 0xD3

/* NV_ABSOLUTE_MAX_IOCTL_SIZE */
#define SIZE_LIMIT 16384u
/* What one open file may hold, so that no caller can fill the kernel's memory. */
#define OBJECTS_LIMIT 4096u
/* The driver gives memory in pieces of this size. */
#define GRANULE 65536u

#define CLASS_MEMORY_LOCAL_USER 0x40
/* NV0000_CTRL_CMD_SYSTEM_GET_P2P_CAPS: the one command that this GPU does not have. */
#define UNSUPPORTED_CONTROL 0x127

#define HEAP_ALLOC_SIZE 2
#define HEAP_FREE 3
#define HEAP_INFO 5
#define HEAP_ALLOC_SIZE_RANGE 14
#define HEAP_FLAGS_VIRTUAL 0x00080000

#define NO_STATUS (~0u)
#define ANY_SIZE (~0u)

/* One form of a request's structure. */
struct form {
	unsigned int number;
	unsigned int size;
	unsigned int status;
	/* The releases that have it: from the first on, before the second. */
	unsigned int since;
	unsigned int until;
};

static const struct form forms[] = {
	{ ALLOC_MEMORY, 56, 40 },
	{ 0x28, 20, 16 },
	{ FREE, 16, 12 },
	{ CONTROL, 32, 28 },
	{ ALLOC, 32, 28 },
	{ ALLOC, 48, 40 },
	{ 0x34, 28, 24 },
	{ 0x35, 24, 20 },
	{ 0x41, 56, 48 },
	{ VID_HEAP_CONTROL, 184, 20 },
	{ 0x4D, 72, 64 },
	{ 0x4E, 56, 40 },
	{ 0x4F, 32, 24 },
	{ 0x52, 16, 12 },
	{ 0x54, 56, 48 },
	{ 0x57, 56, 48, 0, RELEASE(580, 65, 6) },
	{ 0x57, 64, 56, RELEASE(580, 65, 6) },
	{ 0x58, 40, 32, 0, RELEASE(550, 40, 7) },
	{ 0x58, 48, 40, RELEASE(550, 40, 7) },
	{ 0x59, 16, 12 },
	{ 0x5E, 40, 32 },
	{ 0xC8, ANY_SIZE, NO_STATUS },
	{ 0xC9, 4, NO_STATUS },
	{ 0xCE, 16, 12 },
	{ 0xCF, 16, 12 },
	{ 0xD1, 12, 8 },
	{ 0xD2, 72, NO_STATUS },
	{ 0xD4, ANY_SIZE, NO_STATUS },
	{ 0xD5, 8, 4 },
	{ 0xD6, 8, NO_STATUS },
	{ 0xD7, 560, NO_STATUS },
	{ 0xD8, 4, NO_STATUS },
	{ 0xD9, 2600, 2592, 0, RELEASE(570, 86, 15) },
	{ 0xD9, 2608, 2600, RELEASE(570, 86, 15) },
	{ 0xDA, 8, NO_STATUS, RELEASE(550, 40, 7) },
};

/* Memory that somebody holds. */
struct object {
	struct list_head node;
	u32 client;
	u32 handle;
	u64 bytes;
};

/* An open file. */
struct session {
	struct mutex lock;
	struct list_head objects;
	unsigned int count;
	u32 next_handle;
};

static DEFINE_MUTEX(budget_lock);
static u64 taken_bytes;

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

static const struct form *form_of(unsigned int number, unsigned int size)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *form = &forms[i];

		if (form->number == number && (form->size == size || form->size == ANY_SIZE) &&
		    form->since <= stand_in_release && (!form->until || stand_in_release < form->until))
			return form;
	}
	return NULL;
}

/* The bytes that were taken, at least as many as were asked for; 0 where there are not as many. */
static u64 take(u64 bytes)
{
	u64 all = stand_in_memory_bytes(), taken = 0;

	if (!bytes || bytes > all)
		return 0;
	bytes = round_up(bytes, GRANULE);
	mutex_lock(&budget_lock);
	if (bytes <= all && taken_bytes <= all - bytes) {
		taken_bytes += bytes;
		taken = bytes;
	}
	mutex_unlock(&budget_lock);
	return taken;
}

static void give_back(struct session *session, struct object *object)
{
	mutex_lock(&budget_lock);
	taken_bytes -= object->bytes;
	mutex_unlock(&budget_lock);
	list_del(&object->node);
	session->count--;
	kfree(object);
}

/* Takes memory under a handle, which is chosen here where it is 0. */
static u32 allocate(struct session *session, u32 client, u32 *handle, u64 *bytes)
{
	struct object *object;
	u64 taken;

	if (session->count >= OBJECTS_LIMIT)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (!*handle)
		*handle = session->next_handle++;
	list_for_each_entry(object, &session->objects, node)
		if (object->client == client && object->handle == *handle)
			return STATUS_INSERT_DUPLICATE_NAME;
	taken = take(*bytes);
	if (!taken)
		return STATUS_NO_MEMORY;
	object = kmalloc(sizeof(*object), GFP_KERNEL);
	if (!object) {
		mutex_lock(&budget_lock);
		taken_bytes -= taken;
		mutex_unlock(&budget_lock);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	object->client = client;
	object->handle = *handle;
	object->bytes = *bytes = taken;
	list_add(&object->node, &session->objects);
	session->count++;
	return STATUS_OK;
}

/* Frees an object, or all of a client where the object is the client itself. What holds no memory is not known here. */
static void release_object(struct session *session, u32 client, u32 handle)
{
	struct object *object, *next;

	list_for_each_entry_safe(object, next, &session->objects, node)
		if (object->client == client && (object->handle == handle || handle == client))
			give_back(session, object);
}

/* RM_ALLOC of memory: the size lies in a structure of its own and is written back as the driver rounded it. */
static u32 rm_alloc(struct session *session, void *params)
{
	u64 __user *size = (u64 __user *)(unsigned long)(long_word(params, 16) + 64);
	u32 handle = word(params, 8), status;
	u64 bytes;

	if (word(params, 12) != CLASS_MEMORY_LOCAL_USER)
		return STATUS_OK;
	if (copy_from_user(&bytes, size, sizeof(bytes)))
		return STATUS_INVALID_ADDRESS;
	status = allocate(session, word(params, 0), &handle, &bytes);
	memcpy(params + 8, &handle, sizeof(handle));
	if (status == STATUS_OK && copy_to_user(size, &bytes, sizeof(bytes))) {
		release_object(session, word(params, 0), handle);
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
		/* Addresses without memory, or memory of the host. */
		if (word(params, 52) & HEAP_FLAGS_VIRTUAL || (word(params, 56) >> 25 & 3))
			return STATUS_OK;
		status = allocate(session, client, &handle, &bytes);
		memcpy(params + 44, &handle, sizeof(handle));
		memcpy(params + at, &bytes, sizeof(bytes));
		return status;
	case HEAP_FREE:
		release_object(session, client, handle);
		return STATUS_OK;
	case HEAP_INFO:
		bytes = stand_in_memory_bytes();
		memcpy(params + 24, &bytes, sizeof(bytes));
		return STATUS_OK;
	default:
		return STATUS_OK;
	}
}

static u32 answer(struct session *session, unsigned int number, void *params)
{
	switch (number) {
	case ALLOC:
		return rm_alloc(session, params);
	case VID_HEAP_CONTROL:
		return vid_heap_control(session, params);
	case FREE:
		release_object(session, word(params, 0), word(params, 8));
		return STATUS_OK;
	case CONTROL:
		return word(params, 8) == UNSUPPORTED_CONTROL ? STATUS_NOT_SUPPORTED : STATUS_OK;
	default:
		return STATUS_OK;
	}
}

static noinline long nvidia_unlocked_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
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
		/* Number, size and address of the structure that is meant. */
		struct { u32 number, size; u64 address; } wrapper;

		if (size != sizeof(wrapper))
			return -EINVAL;
		if (copy_from_user(&wrapper, user, sizeof(wrapper)))
			return -EFAULT;
		number = wrapper.number;
		size = wrapper.size;
		user = (void __user *)(unsigned long)wrapper.address;
	}
	form = form_of(number, size);
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
	INIT_LIST_HEAD(&session->objects);
	session->next_handle = 0xCAFE0000;
	file->private_data = session;
	return 0;
}

static int nvidia_close(struct inode *inode, struct file *file)
{
	struct session *session = file->private_data;
	struct object *object, *next;

	list_for_each_entry_safe(object, next, &session->objects, node)
		give_back(session, object);
	kfree(session);
	return 0;
}

const struct file_operations nvidia_fops = {
	.owner = THIS_MODULE,
	.open = nvidia_open,
	.release = nvidia_close,
	.unlocked_ioctl = nvidia_unlocked_ioctl,
	.poll = nvidia_poll,
};
