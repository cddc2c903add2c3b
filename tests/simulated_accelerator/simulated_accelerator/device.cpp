// An accelerator of processor threads, for PyTorch's PrivateUse1: everything that may go wrong does.
//
// - Device memory is protected: the host that touches it ends by SIGSEGV.
// - Each stream is a thread; what is put into it is late by a random time. Copies that do not block
//   return at once and read page-locked memory when they run; kernels write their results late.
// - Memory that is freed is gone once the stream it was allocated under gets there, whoever else
//   still uses it.
// - A process forked from one that has used the device cannot use it.
//
// Kernels are those of the CPU on copies: the bits are the CPU's.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <pthread.h>
#include <sys/mman.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>

namespace {

constexpr auto kDevice = c10::DeviceType::PrivateUse1;
constexpr c10::DeviceIndex kDevices = 2;

int delay_us() {
  static const int most = [] {
    const char* told = std::getenv("SIMULATED_DELAY_US");
    return told ? std::atoi(told) : 100;
  }();
  return most;
}

[[noreturn]] void die(const char* words) {
  std::fprintf(stderr, "simulated accelerator: %s\n", words);
  std::abort();
}

std::atomic<bool> used{false}, forked{false};

void use() {
  static const int once = pthread_atfork(nullptr, nullptr, [] { forked = used.load(); });
  (void)once;
  TORCH_CHECK(!forked, "Cannot use the simulated accelerator in a process forked from one that has");
  used = true;
}

struct Flag {
  std::mutex mutex;
  std::condition_variable news;
  bool done = false;
  void set() {
    std::lock_guard<std::mutex> hold(mutex);
    done = true;
    news.notify_all();
  }
  bool is_set() {
    std::lock_guard<std::mutex> hold(mutex);
    return done;
  }
  void wait() {
    std::unique_lock<std::mutex> hold(mutex);
    news.wait(hold, [&] { return done; });
  }
};

class Lane {  // a stream
 public:
  Lane() {
    std::thread([this] { work(); }).detach();
  }
  void put(std::function<void()> task) {
    std::lock_guard<std::mutex> hold(mutex_);
    tasks_.push_back(std::move(task));
    news_.notify_one();
  }
  std::shared_ptr<Flag> mark() {
    auto flag = std::make_shared<Flag>();
    put([flag] { flag->set(); });
    return flag;
  }

 private:
  void work() {
    std::mt19937 draw(std::random_device{}());
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock<std::mutex> hold(mutex_);
        news_.wait(hold, [&] { return !tasks_.empty(); });
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      if (delay_us()) std::this_thread::sleep_for(std::chrono::microseconds(draw() % delay_us()));
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable news_;
  std::deque<std::function<void()>> tasks_;
};

Lane& lane(c10::DeviceIndex device, c10::StreamId id) {
  static auto& lanes = *new std::map<std::pair<int, c10::StreamId>, Lane*>;  // outlives all threads
  static auto& mutex = *new std::mutex;
  std::lock_guard<std::mutex> hold(mutex);
  auto& found = lanes[{device, id}];
  if (!found) found = new Lane;
  return *found;
}

thread_local c10::DeviceIndex current_device = 0;
thread_local c10::StreamId current_stream[kDevices] = {0, 0};

Lane& current_lane(c10::DeviceIndex device) {
  use();
  return lane(device, current_stream[device]);
}

// ------------------------------------------------------------------------------------- memory

struct Block {
  char* begin;
  size_t length;
  c10::DeviceIndex device;
  c10::StreamId stream;
  int open = 0;
};

auto& blocks = *new std::map<char*, Block*>;
auto& blocks_mutex = *new std::mutex;

Block* block_of(const void* pointer) {  // blocks_mutex is held
  auto at = blocks.upper_bound(const_cast<char*>(static_cast<const char*>(pointer)));
  if (at == blocks.begin()) return nullptr;
  Block* block = (--at)->second;
  return pointer < block->begin + block->length ? block : nullptr;
}

class Opened {  // the page protection of a block is lifted
 public:
  explicit Opened(const void* pointer) : pointer_(pointer) {
    if (!pointer) return;
    std::lock_guard<std::mutex> hold(blocks_mutex);
    block_ = block_of(pointer);
    if (!block_) die("device memory is used after it was freed; another stream has reused it");
    if (block_->open++ == 0) mprotect(block_->begin, block_->length, PROT_READ | PROT_WRITE);
  }
  ~Opened() {
    if (!pointer_) return;
    std::lock_guard<std::mutex> hold(blocks_mutex);
    if (--block_->open == 0) mprotect(block_->begin, block_->length, PROT_NONE);
  }

 private:
  const void* pointer_;
  Block* block_ = nullptr;
};

void free_device(void* pointer) {
  if (!pointer) return;
  if (forked) return;  // of the process we were forked from
  Block* block;
  {
    std::lock_guard<std::mutex> hold(blocks_mutex);
    block = block_of(pointer);
  }
  lane(block->device, block->stream).put([block] {
    std::lock_guard<std::mutex> hold(blocks_mutex);
    if (block->open) die("device memory is freed while another stream uses it");
    blocks.erase(block->begin);
    munmap(block->begin, block->length);
    delete block;
  });
}

struct DeviceAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    use();
    const c10::Device device(kDevice, current_device);
    if (!bytes) return {nullptr, nullptr, &free_device, device};
    const size_t length = (bytes + 4095) / 4096 * 4096;
    void* memory = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK(memory != MAP_FAILED, "out of memory on the simulated accelerator");
    auto* block =
        new Block{static_cast<char*>(memory), length, current_device, current_stream[current_device]};
    {
      std::lock_guard<std::mutex> hold(blocks_mutex);
      blocks[block->begin] = block;
    }
    return {memory, memory, &free_device, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_device; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    Opened a(to), b(from);
    std::memcpy(to, from, count);
  }
};

auto& pinned = *new std::map<char*, size_t>;
auto& pinned_mutex = *new std::mutex;

void free_pinned(void* pointer) {
  if (!pointer) return;
  {
    std::lock_guard<std::mutex> hold(pinned_mutex);
    pinned.erase(static_cast<char*>(pointer));
  }
  std::free(pointer);
}

bool is_pinned(const void* pointer) {
  std::lock_guard<std::mutex> hold(pinned_mutex);
  auto* at_pointer = const_cast<char*>(static_cast<const char*>(pointer));
  auto at = pinned.upper_bound(at_pointer);
  return at != pinned.begin() && at_pointer < (--at)->first + at->second;
}

struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    use();
    void* memory = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    if (memory) {
      std::lock_guard<std::mutex> hold(pinned_mutex);
      pinned[static_cast<char*>(memory)] = bytes;
    }
    return {memory, memory, &free_pinned, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    std::memcpy(to, from, count);
  }
};

DeviceAllocator device_allocator;
PinnedAllocator pinned_allocator;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &device_allocator);

// ------------------------------------------------------------------------- streams and events

struct Event {
  std::shared_ptr<Flag> flag;
};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kDevice; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before(kDevice, current_device);
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {kDevice, current_device}; }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(device.index() < kDevices, "no device ", device);
    if (device.index() >= 0) current_device = device.index();
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.index() >= 0) current_device = device.index();
  }
  c10::Stream getStream(c10::Device device) const override {
    const auto index = device.index() < 0 ? current_device : device.index();
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(kDevice, index), current_stream[index]);
  }
  c10::Stream getDefaultStream(c10::Device device) const override {
    const auto index = device.index() < 0 ? current_device : device.index();
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(kDevice, index), 0);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    return getNewStream(device, 0);
  }
  c10::Stream getNewStream(c10::Device device, int) const override {
    use();
    static std::atomic<c10::StreamId> next{1};
    const auto index = device.index() < 0 ? current_device : device.index();
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(kDevice, index), next++);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const auto index = stream.device_index();
    const c10::Stream before(c10::Stream::UNSAFE, {kDevice, index}, current_stream[index]);
    current_stream[index] = stream.id();
    return before;
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex,
              const c10::EventFlag) const override {
    use();
    if (!*event) *event = new Event;
    static_cast<Event*>(*event)->flag = lane(stream.device_index(), stream.id()).mark();
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (!event) return;
    auto flag = static_cast<Event*>(event)->flag;
    lane(stream.device_index(), stream.id()).put([flag] { flag->wait(); });
  }
  bool queryEvent(void* event) const override {
    return !event || static_cast<Event*>(event)->flag->is_set();
  }
  void synchronizeEvent(void* event) const override {
    if (event) static_cast<Event*>(event)->flag->wait();
  }
  bool queryStream(const c10::Stream& stream) const override {
    return lane(stream.device_index(), stream.id()).mark()->is_set();
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    lane(stream.device_index(), stream.id()).mark()->wait();
  }
  void synchronizeDevice(const c10::DeviceIndex device) const override {
    current_lane(device).mark()->wait();
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Generator final : at::CPUGeneratorImpl {
  explicit Generator(c10::DeviceIndex index) {
    device_ = c10::Device(kDevice, index);
    key_set_ = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1);
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return used; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  void setCurrentDevice(c10::DeviceIndex device) const override { current_device = device; }
  c10::DeviceIndex getCurrentDevice() const override { return current_device; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    return std::exchange(current_device, device);
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return exchangeDevice(device);
  }
  bool isPinnedPtr(const void* pointer) const override { return is_pinned(pointer); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  c10::Device getDeviceFromPtr(void* pointer) const override {
    std::lock_guard<std::mutex> hold(blocks_mutex);
    return {kDevice, block_of(pointer)->device};
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex index) const override {
    static std::vector<at::Generator> all = [] {
      std::vector<at::Generator> made;
      for (c10::DeviceIndex i = 0; i < kDevices; ++i) made.push_back(at::make_generator<Generator>(i));
      return made;
    }();
    return all[index < 0 ? current_device : index];
  }
  at::Generator getNewGenerator(c10::DeviceIndex index) const override {
    return at::make_generator<Generator>(index < 0 ? current_device : index);
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    const c10::DeviceGuard guard(storage.device());
    auto fresh = device_allocator.allocate(bytes);
    void* from = storage.mutable_data();
    const size_t kept = std::min(storage.nbytes(), bytes);
    if (kept) {
      current_lane(storage.device().index()).mark()->wait();
      device_allocator.copy_data(fresh.get(), from, kept);
    }
    storage.set_data_ptr(std::move(fresh));
    storage.set_nbytes(bytes);
  }
};

// -------------------------------------------------------------------------------------- copies

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking) {
  if (self.numel() == 0) return dst;
  at::Tensor source = self.expand(dst.sizes());
  const bool from_host = self.is_cpu(), to_host = dst.is_cpu();
  const c10::DeviceIndex device = from_host ? dst.device().index() : self.device().index();
  at::Tensor kept;  // host memory is kept by who copies; device memory is not
  if (from_host) {
    const bool late = non_blocking && is_pinned(self.const_data_ptr());
    kept = source = late ? source : source.clone();
  } else if (to_host) {
    kept = dst;
  }
  auto data_of = [](const at::Tensor& t) { return const_cast<void*>(t.const_data_ptr()); };
  void *from = data_of(source), *to = data_of(dst);
  // What the task needs to know of shapes, without keeping the memory.
  auto from_sizes = source.sizes().vec(), from_strides = source.strides().vec();
  auto to_sizes = dst.sizes().vec(), to_strides = dst.strides().vec();
  const auto from_dtype = source.scalar_type(), to_dtype = dst.scalar_type();
  if (!from_host && !to_host && self.device() != dst.device()) {
    // Between two devices, as CUDA does: the streams of both are in step before and after.
    current_lane(dst.device().index()).mark()->wait();
  }
  auto& stream = current_lane(device);
  stream.put([=] {
    at::NoGradGuard no_grad;
    Opened a(from_host ? nullptr : from), b(to_host ? nullptr : to);
    auto x = at::from_blob(from, from_sizes, from_strides, at::dtype(from_dtype));
    auto y = at::from_blob(to, to_sizes, to_strides, at::dtype(to_dtype));
    y.copy_(x);
    (void)kept;
  });
  const bool across = !from_host && !to_host && self.device() != dst.device();
  if ((to_host && !non_blocking) || across || (from_host && !non_blocking && is_pinned(from)))
    stream.mark()->wait();
  return dst;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& dst) {
  at::native::resize_(dst, self.sizes(), std::nullopt);
  return copy_from(self, dst, false);
}

at::Scalar local_scalar_dense(const at::Tensor& self) {
  return at::_local_scalar_dense(self.to(at::kCPU));
}

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype,
                 std::optional<c10::Layout>, std::optional<c10::Device> device,
                 std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_generic(size, &device_allocator,
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride,
                         std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                         std::optional<c10::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_strided_generic(size, stride, &device_allocator,
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

at::Tensor as_strided(const at::Tensor& self, c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
                      std::optional<c10::SymInt> offset) {
  return at::cpu::as_strided_symint(self, size, stride, offset);
}

const at::Tensor& resize(const at::Tensor& self, c10::SymIntArrayRef size,
                         std::optional<at::MemoryFormat> format) {
  return at::native::resize_(self, C10_AS_INTARRAYREF_SLOW(size), format);
}

at::Tensor reshape_alias(const at::Tensor& self, c10::SymIntArrayRef size,
                         c10::SymIntArrayRef stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size),
                                    C10_AS_INTARRAYREF_SLOW(stride));
}

at::Tensor& set_storage(at::Tensor& self, at::Storage source) {
  return at::native::set_(self, source);
}

at::Tensor& set_storage_offset(at::Tensor& self, at::Storage source, int64_t offset,
                               c10::IntArrayRef size, c10::IntArrayRef stride) {
  return at::cpu::set_(self, source, offset, size, stride);
}

at::Tensor view(const at::Tensor& self, c10::SymIntArrayRef size) {
  return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size));
}

// The schema does not tell that the running statistics are written to.
std::tuple<at::Tensor, at::Tensor, at::Tensor> batch_norm(
    const at::Tensor& input, const std::optional<at::Tensor>& weight,
    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& mean,
    const std::optional<at::Tensor>& var, bool training, double momentum, double eps) {
  auto host = [](const std::optional<at::Tensor>& t) {
    return t && t->defined() ? std::optional<at::Tensor>(t->cpu()) : std::nullopt;
  };
  const auto own_mean = host(mean), own_var = host(var);
  auto [out, saved_mean, saved_var] = at::native_batch_norm(
      input.cpu(), host(weight), host(bias), own_mean, own_var, training, momentum, eps);
  if (training && own_mean) {
    const_cast<at::Tensor&>(*mean).copy_(*own_mean);
    const_cast<at::Tensor&>(*var).copy_(*own_var);
  }
  const auto device = input.device();
  return {out.to(device), saved_mean.to(device), saved_var.to(device)};
}

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  const auto own = bias && bias->defined() ? std::optional<at::Tensor>(bias->cpu()) : std::nullopt;
  return at::convolution(input.cpu(), weight.cpu(), own, stride, padding, dilation, transposed,
                         output_padding, groups)
      .to(input.device());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& weight,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
    at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> wanted) {
  const int64_t biases = weight.size(transposed ? 1 : 0) * (transposed ? groups : 1);
  auto [a, b, c] = at::convolution_backward(
      grad.cpu(), input.cpu(), weight.cpu(), at::IntArrayRef(&biases, 1), stride, padding, dilation,
      transposed, output_padding, groups, wanted);
  auto back = [&](const at::Tensor& t) { return t.defined() ? t.to(input.device()) : t; };
  return {back(a), back(b), back(c)};
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  at::native::cpu_fallback(op, stack);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", as_strided);
  m.impl("resize_", resize);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", local_scalar_dense);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Storage_storage_offset", set_storage_offset);
  m.impl("view", view);
  m.impl("native_batch_norm", batch_norm);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
  m.def("device_count", [] { return static_cast<int>(kDevices); });
  m.def("current_device", [] { return static_cast<int>(current_device); });
  m.def("set_device", [](int index) {
    TORCH_CHECK(0 <= index && index < kDevices, "no device ", index);
    current_device = static_cast<c10::DeviceIndex>(index);
  });
  m.def("in_bad_fork", [] { return forked.load(); });
}
