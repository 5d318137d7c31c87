// SPDX-License-Identifier: GPL-2.0 OR MIT
/* /dev/nvidia-uvm: requests are plain numbers; the structure depends on the number and the release. */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "nvidia.h"

/* One form of a command's structure. */
struct command {
	unsigned int number;
	unsigned int size;
	unsigned int status;
	/* Whether it begins with an address, which must be page-aligned. */
	bool has_base;
	/* The first release that has it. If there are several, the latest comes first. */
	unsigned int since;
};

static const struct command commands[] = {
	{ 0x30000001, 16, 8 },		/* INITIALIZE */
	{ 23, 16, 8 },			/* CREATE_RANGE_GROUP */
	{ 25, 32, 28 },			/* REGISTER_GPU_VASPACE */
	{ 27, 56, 48 },			/* REGISTER_CHANNEL */
	{ 28, 12, 8, false, RELEASE(590, 44, 1) }, /* UNREGISTER_CHANNEL */
	{ 28, 28, 24 },
	{ 33, 9264, 9260, true, RELEASE(550, 40, 53) }, /* MAP_EXTERNAL_ALLOCATION */
	{ 33, 1200, 1196, true },
	{ 34, 16, 8, true, RELEASE(590, 44, 1) }, /* FREE */
	{ 34, 24, 16, true },
	{ 37, 40, 36 },			/* REGISTER_GPU */
	{ 39, 8, 4 },			/* PAGEABLE_MEM_ACCESS */
	{ 42, 40, 36, true, RELEASE(550, 40, 7) }, /* SET_PREFERRED_LOCATION */
	{ 42, 40, 32, true },
	{ 45, 24, 16, true },		/* DISABLE_READ_DUPLICATION */
	{ 51, 80, 72, true },		/* MIGRATE */
	{ 65, 40, 32, true },		/* MAP_DYNAMIC_PARALLELISM_REGION */
	{ 72, 24, 16, true },		/* VALIDATE_VA_RANGE */
	{ 73, 24, 16, true },		/* CREATE_EXTERNAL_RANGE */
	{ 75, 8, 4, false, RELEASE(535, 43, 2) }, /* MM_INITIALIZE */
};

static const struct command *command_of(unsigned int number)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].number == number && commands[i].since <= stand_in_release)
			return &commands[i];
	return NULL;
}

static u32 answer(const struct command *command, const void *params)
{
	u64 base;

	if (!command->has_base)
		return STATUS_OK;
	memcpy(&base, params, sizeof(base));
	return base & ~PAGE_MASK ? STATUS_INVALID_ADDRESS : STATUS_OK;
}

static noinline long uvm_unlocked_ioctl_entry(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct command *command = command_of(cmd);
	void __user *user = (void __user *)arg;
	void *params;
	u32 status;
	long result = 0;

	stand_in_wait();
	if (!command)
		return -EINVAL;
	params = memdup_user(user, command->size);
	if (IS_ERR(params))
		return PTR_ERR(params);
	status = answer(command, params);
	memcpy(params + command->status, &status, sizeof(status));
	if (copy_to_user(user, params, command->size))
		result = -EFAULT;
	kfree(params);
	return result;
}

const struct file_operations uvm_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = uvm_unlocked_ioctl_entry,
	.compat_ioctl = uvm_unlocked_ioctl_entry,
};

/* The device for tools supports no requests. */
static noinline long uvm_tools_unlocked_ioctl_entry(struct file *file, unsigned int cmd, unsigned long arg)
{
	stand_in_wait();
	return -EINVAL;
}

const struct file_operations uvm_tools_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = uvm_tools_unlocked_ioctl_entry,
	.compat_ioctl = uvm_tools_unlocked_ioctl_entry,
};
