"""Scores to figures of merit and pictures.

What is measured has three files, of which the last is thin:

    evaluation/sets.py         measure_set(...) -> SetMeasurement     set_report.py      tables, pictures, files
    evaluation/windows.py      measure_windows(...)                   window_report.py
    evaluation/glitch_test.py  measure_glitches(...)                  glitch_report.py
    evaluation/lesion.py       measure_lesions(...)                   lesion_report.py
    commands/evaluate_*.py     parse, call, print

A new kind of measurement is such a triple and a line in `commands.evaluate.run_evaluate`.
"""
