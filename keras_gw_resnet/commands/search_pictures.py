"""The pictures of the command 'search'."""

from keras_gw_resnet.files import written_aside


def draw_search(args, network, events, said, snapshots, attributes, stack):
    """Draw into files that stand at their places when `stack` ends; return their paths."""
    from keras_gw_resnet.evaluation.candidate_plots import draw_event
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.report import write_search_report

    if args.plot:
        where = ", ".join(attributes["files"][:4])
        title = f"{where}\nloudest event, statistic {snapshots[0].stat:.1f} ({network.name})"
        marks = snapshots[0].marks(network.detectors, said[-1])
        save(draw_event(snapshots[0], network.detectors, title, marks), stack.enter_context(written_aside(args.plot)))
    if args.report:
        aside = stack.enter_context(written_aside(args.report))
        write_search_report(aside, network, (events[0], events[1][: 10 * args.top]), snapshots, attributes, *said)
    return [path for path in (args.plot, args.report) if path]
