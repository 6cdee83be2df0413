%% SPDX-License-Identifier: Apache-2.0
%% @doc What a context says about itself.
-module(py_context_info).

-export([map/2]).

-include("py_context_data.hrl").

%% @doc The result of `py_context:info/1', of a context in this state.
-spec map(atom(), #data{}) -> map().
map(State, #data{port = Port, hello = Hello, os_pid = OsPid, past = Past} = Data) ->
    Stats = py_context_stats:counters(Port),
    #{id => Data#data.id, state => State, runtime => maps:get(runtime, Data#data.opts),
      os_pid => OsPid, python => maps:get(<<"python">>, Hello, none),
      generation => Data#data.generation, restarts => Data#data.restarts,
      crashes => Data#data.crashes, renewals => Data#data.renewals,
      retired => py_context_swap:retired(Data#data.swap),
      interp_id => Data#data.interp_id,
      sandbox => #{level => py_policy:level(maps:get(policy, Data#data.opts)),
                   layers => py_policy:layers(Data#data.layers)},
      stats => maps:remove(latency, Stats),
      total => py_context_stats:add(Past, Stats),
      process => py_context_stats:process(OsPid)}.
