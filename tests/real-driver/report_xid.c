// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Calls the loaded driver's own nv_report_error for the first NVIDIA device, as its resource manager does for an Xid
 * error. Loading the module reports the Xid `number`, `times` times.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/pci.h>

static unsigned int number = 79, times = 1;
module_param(number, uint, 0444);
module_param(times, uint, 0444);

static void (*report_error)(struct pci_dev *device, u32 number, const char *format, va_list arguments);

static void report(struct pci_dev *device, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report_error(device, number, format, arguments);
	va_end(arguments);
}

static int __init start(void)
{
	/* The function is not exported; a kprobe finds its address. */
	struct kprobe probe = { .symbol_name = "nv_report_error" };
	struct pci_dev *device = pci_get_device(PCI_VENDOR_ID_NVIDIA, PCI_ANY_ID, NULL);
	int error;

	if (!device)
		return -ENODEV;
	error = register_kprobe(&probe);
	if (!error) {
		report_error = (void *)probe.addr;
		unregister_kprobe(&probe);
		while (times--)
			report(device, "pid=%d, name=%s, reported by a test", 1, "report_xid");
	}
	pci_dev_put(device);
	return error;
}
module_init(start);

static void __exit stop(void)
{
}
module_exit(stop);

MODULE_DESCRIPTION("Reports an Xid error through the NVIDIA driver");
MODULE_LICENSE("GPL");
