"""Does with Python's own means what the processes of `compare` do: WORKERS processes log EVENTS events each through a
QueueHandler into one multiprocessing.Queue, and a QueueListener writes them to a file.

Prints the callers' CPU and wall time, the CPU of all processes, in nanoseconds an event, and the lines a second.
"""

import logging
import logging.handlers
import multiprocessing
import sys
import time

WORKERS, EVENTS, PATH = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def work(queue, start, figures):
    logger = logging.getLogger("send_email")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.handlers.QueueHandler(queue))
    start.wait()
    cpu, wall = time.process_time(), time.perf_counter()
    for number in range(EVENTS):
        logger.info('Connecting to SMTP server host="%s" number=%d', "smtp.example.com", number)
    wall = time.perf_counter() - wall
    queue.close()
    queue.join_thread()  # it pickles, and this process pays for that
    figures.put((time.process_time() - cpu, wall))


def main():
    fork = multiprocessing.get_context("fork")
    queue, start, figures = fork.Queue(), fork.Barrier(WORKERS + 1), fork.SimpleQueue()
    processes = [
        fork.Process(target=work, args=(queue, start, figures), name=f"worker-{n}") for n in range(WORKERS)
    ]
    for process in processes:
        process.start()
    file = logging.FileHandler(PATH)
    form = "[%(processName)s] [%(name)s] %(asctime)s %(message)s"
    file.setFormatter(logging.Formatter(form, datefmt="%Y-%m-%dT%H:%M:%S"))
    listener = logging.handlers.QueueListener(queue, file)
    listener.start()
    start.wait()
    began, cpu = time.perf_counter(), time.process_time()
    callers = [figures.get() for _ in processes]
    for process in processes:
        process.join()
    listener.stop()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    lines = WORKERS * EVENTS
    caller, wall = (sum(seconds_of) / lines * 1e9 for seconds_of in zip(*callers))
    print(caller, wall, caller + cpu / lines * 1e9, lines / seconds)


main()
