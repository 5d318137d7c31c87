// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Xid errors, which a test requests: reported by the driver's function and its tracepoint. */

#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#define CREATE_TRACE_POINTS
#include "xid_trace.h"

/* nv-report-err.c */
noinline void nv_report_error(struct pci_dev *dev, u32 error_number, const char *format, va_list ap);

void nv_report_error(struct pci_dev *dev, u32 error_number, const char *format, va_list ap)
{
	char *text = kvasprintf(GFP_KERNEL, format, ap);

	if (!text)
		return;
	trace_nvidia_dev_xid(dev, error_number, text);
	kfree(text);
}

static void report(struct pci_dev *dev, u32 number, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	nv_report_error(dev, number, format, ap);
	va_end(ap);
}

/* "0000:00:00.0 79" reports error 79 for the device at this address, which may be any PCI device. */
static int set_xid(const char *text, const struct kernel_param *unused)
{
	unsigned int domain, bus, slot, function, number;
	struct pci_dev *dev;

	if (sscanf(text, "%x:%x:%x.%x %u", &domain, &bus, &slot, &function, &number) != 5)
		return -EINVAL;
	dev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!dev)
		return -ENODEV;
	report(dev, number, "pid=%d, a test asked for this", task_pid_nr(current));
	pci_dev_put(dev);
	return 0;
}

static const struct kernel_param_ops xid_ops = { .set = set_xid };
module_param_cb(xid, &xid_ops, NULL, 0200);
MODULE_PARM_DESC(xid, "write: PCI address and error number to report");
