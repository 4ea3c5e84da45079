/* One line an event on stderr (log.c). */

#ifndef PAIRDISK_AGENT_LOG_H
#define PAIRDISK_AGENT_LOG_H


enum log_level { LOG_LEVEL_UNSET = 0, LOG_LEVEL_INFO, LOG_LEVEL_WARNING,
                 LOG_LEVEL_ERROR };

extern const char *log_level_name (enum log_level level);

/* One line on stderr: time, level, text.  Never a secret. */
extern void log_line (enum log_level level, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));
#define log_info(...) log_line (LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line (LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...) log_line (LOG_LEVEL_ERROR, __VA_ARGS__)

#endif /* PAIRDISK_AGENT_LOG_H */
