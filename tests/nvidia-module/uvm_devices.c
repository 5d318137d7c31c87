// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Init and exit of the second module: /dev/nvidia-uvm and /dev/nvidia-uvm-tools, with a dynamic major number. */

#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/module.h>

#include "nvidia.h"

#define UVM_MINOR 0
#define TOOLS_MINOR 1
#define MINORS 2

static dev_t first;
static struct cdev uvm, tools;

static int add(struct cdev *device, const struct file_operations *fops, unsigned int minor)
{
	cdev_init(device, fops);
	device->owner = THIS_MODULE;
	return cdev_add(device, MKDEV(MAJOR(first), minor), 1);
}

static int __init uvm_init(void)
{
	int error = alloc_chrdev_region(&first, 0, MINORS, "nvidia-uvm");

	if (error)
		return error;
	error = add(&uvm, &uvm_fops, UVM_MINOR);
	if (error)
		goto unregister;
	error = add(&tools, &uvm_tools_fops, TOOLS_MINOR);
	if (error)
		goto remove_uvm;
	return 0;

remove_uvm:
	cdev_del(&uvm);
unregister:
	unregister_chrdev_region(first, MINORS);
	return error;
}

static void __exit uvm_exit(void)
{
	cdev_del(&tools);
	cdev_del(&uvm);
	unregister_chrdev_region(first, MINORS);
}

module_init(uvm_init);
module_exit(uvm_exit);
MODULE_DESCRIPTION("glassbox's stand-in for NVIDIA's unified memory driver, for tests");
MODULE_LICENSE("Dual MIT/GPL");
