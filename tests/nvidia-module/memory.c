// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The GPU's memory: a number of free bytes, and the objects of an open file that hold memory. */

#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include "nvidia.h"

/* Maximum number of objects of an open file, so that no caller can exhaust the kernel's memory. */
#define OBJECTS_LIMIT 4096u
/* Granularity of the driver's allocations. */
#define GRANULE 65536u

/* An allocation. */
struct object {
	struct list_head node;
	u32 client;
	u32 handle;
	u64 bytes;
};

static DEFINE_MUTEX(budget_lock);
static u64 taken_bytes;

/* Returns the number of bytes that were taken, at least as many as requested; 0 if there is not enough memory. */
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

static void give_back(u64 bytes)
{
	mutex_lock(&budget_lock);
	taken_bytes -= bytes;
	mutex_unlock(&budget_lock);
}

static void drop_object(struct holdings *holdings, struct object *object)
{
	give_back(object->bytes);
	list_del(&object->node);
	holdings->count--;
	kfree(object);
}

void memory_begin(struct holdings *holdings)
{
	INIT_LIST_HEAD(&holdings->objects);
	holdings->count = 0;
}

u32 memory_allocate(struct holdings *holdings, u32 client, u32 handle, u64 *bytes)
{
	struct object *object;
	u64 taken;

	if (holdings->count >= OBJECTS_LIMIT)
		return STATUS_INSUFFICIENT_RESOURCES;
	list_for_each_entry(object, &holdings->objects, node)
		if (object->client == client && object->handle == handle)
			return STATUS_INSERT_DUPLICATE_NAME;
	taken = take(*bytes);
	if (!taken)
		return STATUS_NO_MEMORY;
	object = kmalloc(sizeof(*object), GFP_KERNEL);
	if (!object) {
		give_back(taken);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	object->client = client;
	object->handle = handle;
	object->bytes = *bytes = taken;
	list_add(&object->node, &holdings->objects);
	holdings->count++;
	return STATUS_OK;
}

void memory_free(struct holdings *holdings, u32 client, u32 handle)
{
	struct object *object, *next;

	list_for_each_entry_safe(object, next, &holdings->objects, node)
		if (object->client == client && (object->handle == handle || handle == client))
			drop_object(holdings, object);
}

void memory_end(struct holdings *holdings)
{
	struct object *object, *next;

	list_for_each_entry_safe(object, next, &holdings->objects, node)
		drop_object(holdings, object);
}
