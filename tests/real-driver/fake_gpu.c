// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A PCI host bridge in domain 1 with one emulated NVIDIA GPU, for a guest without a GPU.
 *
 * The GPU has a configuration space and a BAR0 in memory that the kernel leaves alone (memmap=32M$0x70000000), with the
 * two registers that identify the chip. The real driver registers such a GPU and fails to initialize it: there is no
 * firmware behind the registers.
 */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <asm/pci.h>

#define BAR0_SIZE 0x1000000ul
#define PMC_BOOT_0 0x0
#define PMC_BOOT_42 0xa00
#define POWER_MANAGEMENT 0x60
#define EXPRESS 0x78

static unsigned int device = 0x2330, boot0 = 0x180000a1, boot42 = 0x180a1000;
static unsigned long bar0 = 0x70000000;
module_param(device, uint, 0444);
MODULE_PARM_DESC(device, "PCI device ID");
module_param(boot0, uint, 0444);
MODULE_PARM_DESC(boot0, "value of PMC_BOOT_0");
module_param(boot42, uint, 0444);
MODULE_PARM_DESC(boot42, "value of PMC_BOOT_42");
module_param(bar0, ulong, 0444);
MODULE_PARM_DESC(bar0, "physical address of reserved memory for BAR0");

static u8 config[PCI_CFG_SPACE_EXP_SIZE];

/* Size and type of each BAR: 16 MiB, 256 MiB and 32 MiB, the latter two 64 bits wide and prefetchable. */
static const struct {
	u32 mask, type;
} bars[PCI_STD_NUM_BARS] = {
	{ 0xff000000, 0x0 }, { 0xf0000000, 0xc }, { 0xffffffff, 0x0 }, { 0xfe000000, 0xc }, { 0xffffffff, 0x0 },
};

static bool exists(unsigned int devfn, int where, int size)
{
	return devfn == PCI_DEVFN(1, 0) && where + size <= sizeof(config);
}

static int config_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *value)
{
	*value = ~0u;
	if (!exists(devfn, where, size))
		return PCIBIOS_DEVICE_NOT_FOUND;
	*value = 0;
	memcpy(value, &config[where], size);
	return PCIBIOS_SUCCESSFUL;
}

static int config_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 value)
{
	if (!exists(devfn, where, size))
		return PCIBIOS_DEVICE_NOT_FOUND;
	if (where >= PCI_BASE_ADDRESS_0 && where <= PCI_BASE_ADDRESS_5 && size == 4 && !(where & 3)) {
		int bar = (where - PCI_BASE_ADDRESS_0) / 4;

		value = (value & bars[bar].mask) | bars[bar].type;
	} else if (where != PCI_COMMAND && where != PCI_INTERRUPT_LINE) {
		/* Everything else is read-only. */
		return PCIBIOS_SUCCESSFUL;
	}
	memcpy(&config[where], &value, size);
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops ops = { .read = config_read, .write = config_write };
static struct pci_sysdata sysdata = { .domain = 1, .node = NUMA_NO_NODE };
static struct resource registers = { .name = "fake GPU registers", .flags = IORESOURCE_MEM };
static struct resource memory = {
	.name = "fake GPU memory",
	.start = 0x2000000000ull,
	.end = 0x3fffffffffull,
	.flags = IORESOURCE_MEM | IORESOURCE_PREFETCH | IORESOURCE_MEM_64,
};
static struct resource numbers = { .name = "fake GPU bus", .flags = IORESOURCE_BUS };

static void set16(int where, u16 value)
{
	memcpy(&config[where], &value, sizeof(value));
}

static void set32(int where, u32 value)
{
	memcpy(&config[where], &value, sizeof(value));
}

static void fill_config(void)
{
	set16(PCI_VENDOR_ID, PCI_VENDOR_ID_NVIDIA);
	set16(PCI_DEVICE_ID, device);
	set16(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	set16(PCI_STATUS, PCI_STATUS_CAP_LIST);
	/* A 3D controller, revision a1 */
	set32(PCI_CLASS_REVISION, 0x030200a1);
	set16(PCI_SUBSYSTEM_VENDOR_ID, PCI_VENDOR_ID_NVIDIA);
	set16(PCI_SUBSYSTEM_ID, 0x16c1);
	set32(PCI_BASE_ADDRESS_0, bar0);
	set32(PCI_BASE_ADDRESS_1, bars[1].type);
	set32(PCI_BASE_ADDRESS_2, 0x20);
	set32(PCI_BASE_ADDRESS_3, bars[3].type);
	set32(PCI_BASE_ADDRESS_4, 0x30);
	config[PCI_CAPABILITY_LIST] = POWER_MANAGEMENT;
	config[PCI_INTERRUPT_LINE] = 11;
	config[PCI_INTERRUPT_PIN] = 1;

	config[POWER_MANAGEMENT + PCI_CAP_LIST_ID] = PCI_CAP_ID_PM;
	config[POWER_MANAGEMENT + PCI_CAP_LIST_NEXT] = EXPRESS;
	set16(POWER_MANAGEMENT + PCI_PM_PMC, 3);

	config[EXPRESS + PCI_CAP_LIST_ID] = PCI_CAP_ID_EXP;
	/* An endpoint, version 2, at generation 3 with 16 lanes */
	set16(EXPRESS + PCI_EXP_FLAGS, 2);
	set32(EXPRESS + PCI_EXP_LNKCAP, 0x103);
	set16(EXPRESS + PCI_EXP_LNKSTA, 0x1103);
}

static int __init start(void)
{
	LIST_HEAD(resources);
	struct pci_bus *bus;
	u32 __iomem *bar = ioremap(bar0, BAR0_SIZE);

	if (!bar)
		return -ENOMEM;
	memset_io(bar, 0, BAR0_SIZE);
	writel(boot0, &bar[PMC_BOOT_0 / 4]);
	writel(boot42, &bar[PMC_BOOT_42 / 4]);
	iounmap(bar);
	fill_config();

	registers.start = bar0;
	registers.end = bar0 + BAR0_SIZE - 1;
	if (request_resource(&iomem_resource, &registers))
		pr_info("fake_gpu: %pR is inside another resource\n", &registers);
	if (request_resource(&iomem_resource, &memory))
		pr_info("fake_gpu: %pR is inside another resource\n", &memory);
	pci_add_resource(&resources, &registers);
	pci_add_resource(&resources, &memory);
	pci_add_resource(&resources, &numbers);
	bus = pci_scan_root_bus(NULL, 0, &ops, &sysdata, &resources);
	if (!bus)
		return -ENODEV;
	pci_bus_claim_resources(bus);
	pci_assign_unassigned_bus_resources(bus);
	pci_bus_add_devices(bus);
	return 0;
}
module_init(start);
/* No exit: the bus stays until the guest ends. */

MODULE_DESCRIPTION("An emulated NVIDIA GPU without function");
MODULE_LICENSE("GPL");
