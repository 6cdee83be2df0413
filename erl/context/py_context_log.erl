%% SPDX-License-Identifier: Apache-2.0
%% @doc What contexts have to say, through logger.
%%
%% A line that Python wrote to its standard output is a `notice', one to its
%% standard error a `warning'.  The metadata has `context', `stream' and
%% `os_pid', by which a filter can send them elsewhere.  There is no `domain':
%% the default handler of logger drops those it does not know.
-module(py_context_log).

-export([lines/3, death/2, died/2]).

-include_lib("kernel/include/logger.hrl").

%% Characters of what a helper says of itself, in a message of ours.
-define(SHOWN, 1024).

%% @doc Lines of captured output of the context that is called `Label'.
-spec lines(binary(), [{py_output:stream(), binary()}], map()) -> ok.
lines(Label, Lines, Meta) ->
    lists:foreach(fun({Stream, Line}) -> line(Label, Stream, Line, Meta) end, Lines).

line(Label, stdout, Line, Meta) ->
    ?LOG_NOTICE("[python ~ts stdout] ~ts", [Label, py_shown:text(Line)], Meta#{stream => stdout});
line(Label, stderr, Line, Meta) ->
    ?LOG_WARNING("[python ~ts stderr] ~ts", [Label, py_shown:text(Line)],
                 Meta#{stream => stderr}).

%% @doc A helper of the context that is called `Label' died.
-spec died(binary(), py_context_core:verdict()) -> ok.
died(Label, {Kind, What}) ->
    ?LOG_WARNING("Python context ~ts: its process died (~ts), starting another one",
                 [Label, death(Kind, What)]).

%% @doc The end of a helper in a few words.
-spec death(crashed | protocol | limit | sandbox, term()) -> string().
death(protocol, Text) ->
    lists:flatten(io_lib:format("it broke the protocol: ~ts", [Text]));
death(limit, Which) ->
    lists:flatten(io_lib:format("it was over the limit ~0tp", [Which]));
death(sandbox, {syscall, Name}) ->
    lists:flatten(io_lib:format("a forbidden system call: ~ts", [Name]));
death(sandbox, {failed, Text}) ->
    lists:flatten(io_lib:format("it could not be locked up: ~ts",
                                [py_shown:text(Text, ?SHOWN)]));
death(crashed, #{signal := Signal} = Report) ->
    lists:flatten(io_lib:format("~0tp in ~ts", [Signal, what(Report)]));
death(crashed, #{exit_status := Status} = Report) ->
    lists:flatten(io_lib:format("exit status ~0tp in ~ts", [Status, what(Report)]));
death(crashed, Report) ->
    lists:flatten(io_lib:format("~0tp", [maps:get(reason, Report, unknown)])).

what(#{request := #{what := What}}) when is_binary(What) -> py_shown:text(What, ?SHOWN);
what(_) -> "no request".
